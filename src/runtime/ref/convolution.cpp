// Direct convolution. One (image, output channel) plane at a time; the inner loop runs along an
// output row, so that it is contiguous for stride 1.
#include <algorithm>

#include "epilogue.hpp"
#include "geometry.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::ref {
namespace {

/// Adds the contribution of one input channel to one output plane.
template <class T>
void add_channel(const AxisWindow& rows, const AxisWindow& cols, const T* x, const T* w, T* y) {
  for (std::int64_t ky = 0; ky < rows.kernel; ++ky) {
    for (std::int64_t kx = 0; kx < cols.kernel; ++kx) {
      const T weight = w[ky * cols.kernel + kx];
      const std::int64_t begin = cols.first_output(kx);
      const std::int64_t end = cols.end_output(kx);
      for (std::int64_t oy = rows.first_output(ky); oy < rows.end_output(ky); ++oy) {
        const T* source = x + rows.source(oy, ky) * cols.in;
        T* target = y + oy * cols.out;
        if (cols.stride == 1) {
          const std::int64_t shift = cols.source(0, kx);
          for (std::int64_t ox = begin; ox < end; ++ox) target[ox] += weight * source[ox + shift];
        } else {
          for (std::int64_t ox = begin; ox < end; ++ox) target[ox] += weight * source[cols.source(ox, kx)];
        }
      }
    }
  }
}

}  // namespace

template <class T>
Tensor conv(const graph::Conv& op, const Inputs& inputs) {
  const Tensor& x = input_of_rank(inputs, 0, 4);
  const Tensor& w = input_of_rank(inputs, 1, 4);
  const std::int64_t out_channels = w.dim(0);
  const std::int64_t group_channels = w.dim(1);
  require(op.group > 0 && out_channels % op.group == 0 && group_channels * op.group == x.dim(1),
          "weights {} with {} groups do not fit input {}", to_string(w.shape()), op.group, to_string(x.shape()));
  require(w.dim(2) == op.window.kernel[0] && w.dim(3) == op.window.kernel[1],
          "weights {} do not have the kernel {}x{}", to_string(w.shape()), op.window.kernel[0], op.window.kernel[1]);
  const auto [rows, cols] = resolve_window(op.window, x.dim(2), x.dim(3));

  Tensor y(dtype_of<T>(), {x.dim(0), out_channels, rows.out, cols.out});
  const Epilogue<T> epilogue(op.activation, inputs, y.shape());
  const T* source = x.data<T>().data();
  const T* weights = w.data<T>().data();
  T* target = y.mutable_data<T>().data();
  const std::int64_t in_plane = rows.in * cols.in;
  const std::int64_t out_plane = rows.out * cols.out;
  const std::int64_t filter = rows.kernel * cols.kernel;
  const std::int64_t filters_per_group = out_channels / op.group;

  parallel_for(x.dim(0) * out_channels, default_threads(), [&, rows = rows, cols = cols](std::int64_t plane, int) {
    const std::int64_t n = plane / out_channels;
    const std::int64_t k = plane % out_channels;
    const std::int64_t first_channel = n * x.dim(1) + k / filters_per_group * group_channels;
    T* out = target + plane * out_plane;
    for (std::int64_t c = 0; c < group_channels; ++c) {
      add_channel(rows, cols, source + (first_channel + c) * in_plane, weights + (k * group_channels + c) * filter,
                  out);
    }
    epilogue.apply(out, plane, k);
  });
  return y;
}

template Tensor conv<float>(const graph::Conv&, const Inputs&);
template Tensor conv<double>(const graph::Conv&, const Inputs&);

}  // namespace wins::runtime::ref
