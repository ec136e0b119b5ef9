// Input energies of 1x1 convolutions.
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/pruning/prune.hpp"

namespace wins::pruning {
namespace {

/// Where the outputs of one axis read: output o at o * stride - pad, outside the image zeros.
struct Reads {
  std::int64_t outputs, stride, pad;
};

Reads reads_of(const graph::Window& window, std::size_t axis, std::int64_t extent) {
  // A 1x1 kernel needs no padding to give ceil(extent / stride) outputs, whatever auto_pad says.
  const bool given = window.auto_pad == graph::AutoPad::none;
  const std::int64_t before = given ? window.pads[axis] : 0, after = given ? window.pads[axis + 2] : 0;
  return {(extent + before + after - 1) / window.stride[axis] + 1, window.stride[axis], before};
}

}  // namespace

void accumulate_pixel_energy(const graph::Window& window, const Tensor& x, InputEnergy& energy) {
  require(x.defined() && x.dtype() == DType::f32 && x.rank() == 4, "calibration: the input must be float32 N x C x H x W");
  const std::int64_t N = x.dim(0), C = x.dim(1), H = x.dim(2), W = x.dim(3);
  const Reads rows = reads_of(window, 0, H), cols = reads_of(window, 1, W);
  require(N > 0 && rows.outputs > 0 && cols.outputs > 0, "calibration: input {} gives no output", wins::to_string(x.shape()));
  if (!energy.sum.defined()) energy.sum = Tensor(DType::f64, {1, C});
  require(energy.sum.shape() == Shape({1, C}), "calibration: {} channels after {}", C, wins::to_string(energy.sum.shape()));
  const float* pixels = x.data<float>().data();
  double* sums = energy.sum.mutable_data<double>().data();
  // One channel per task: the sums do not depend on the number of threads.
  parallel_for(C, default_threads(), [&](std::int64_t c, int) {
    double sum = 0;
    for (std::int64_t n = 0; n < N; ++n) {
      const float* plane = pixels + (n * C + c) * H * W;
      for (std::int64_t i = 0; i < rows.outputs; ++i) {
        const std::int64_t h = i * rows.stride - rows.pad;
        if (h < 0 || h >= H) continue;
        for (std::int64_t j = 0; j < cols.outputs; ++j) {
          const std::int64_t w = j * cols.stride - cols.pad;
          if (w < 0 || w >= W) continue;
          const auto value = static_cast<double>(plane[h * W + w]);
          sum += value * value;
        }
      }
    }
    sums[c] += sum;
  });
  energy.tiles += N * rows.outputs * cols.outputs;
}

}  // namespace wins::pruning
