// Linear and cubic resampling of rows and columns: each output row is a blend of input rows, then of
// its pixels. (oneDNN's resampling knows one of ONNX's five coordinate modes, and no cubic one.)
#include <algorithm>

#include "aligned.hpp"
#include "kernels.hpp"
#include "resize_axis.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Resize;

std::optional<std::string> refuse(const Problem& problem) {
  if (std::get<Resize>(problem.node.op).mode == Resize::Mode::nearest) return "nearest";
  if (!problem.is_float() || problem.input(0).dtype != DType::f32) return "not float32";
  if (problem.input_shape(0).empty()) return "no axes";
  if (element_count(problem.output_shape()) == 0) return "empty";
  if (const auto reason = refuse_resize_axes(problem)) return reason;
  const std::vector<ResizeAxis> axes = resize_axes(problem);
  for (std::size_t i = 0; i + 2 < axes.size(); ++i) {
    if (!axes[i].identity) return "resizes other axes than the last two";
  }
  return std::nullopt;
}

Cost predict(const Problem& problem) {
  const double read = static_cast<double>(element_count(problem.input_shape(0))),
               written = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(0, 8 * (read + written), 1, problem.env.threads, problem.env.machine);
}

/// y[i] = sum of weight[t] * x[source[t] * pitch + i].
template <int kTaps>
void blend_rows(std::int64_t count, const float* x, std::int64_t pitch, const std::int64_t* source,
                const float* weight, float* y) {
  const float* from[kTaps];
  for (int t = 0; t < kTaps; ++t) from[t] = x + source[t] * pitch;
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = weight[0] * from[0][i];
    for (int t = 1; t < kTaps; ++t) sum += weight[t] * from[t][i];
    y[i] = sum;
  }
}

/// The same for each pixel of a row, of kLanes floats.
template <int kTaps, int kLanes>
void blend_pixels(const ResizeAxis& axis, const float* x, float* y) {
  const std::int64_t* source = axis.source.data();
  const float* weight = axis.weight.data();
  for (std::int64_t i = 0; i < axis.out; ++i, source += kTaps, weight += kTaps, y += kLanes) {
    float sum[kLanes] = {};
    for (int t = 0; t < kTaps; ++t) {
      const float* from = x + source[t] * kLanes;
      for (int lane = 0; lane < kLanes; ++lane) sum[lane] += weight[t] * from[lane];
    }
    std::copy_n(sum, kLanes, y);
  }
}

template <int kLanes>
void blend_row(const ResizeAxis& axis, const float* x, float* y) {
  if (axis.identity) {
    std::copy_n(x, axis.out * kLanes, y);
  } else if (axis.count == 2) {
    blend_pixels<2, kLanes>(axis, x, y);
  } else {
    blend_pixels<4, kLanes>(axis, x, y);
  }
}

/// Images of `planes` planes of rows of pixels of `lanes` floats: plain planes, or those of blocked
/// channels.
struct ResizeGeometry {
  std::int64_t images, planes;
  std::int64_t in_pitch, out_pitch;  ///< floats between images
  int lanes;
};

class ResizeStep : public Step {
 public:
  ResizeStep(ResizeAxis rows, ResizeAxis columns, const ResizeGeometry& geometry, int threads)
      : rows_(std::move(rows)),
        columns_(std::move(columns)),
        geometry_(geometry),
        lanes_(geometry.lanes),
        threads_(threads) {}

  /// One blended row for each thread, on cache lines of their own.
  std::size_t workspace_bytes() const { return static_cast<std::size_t>(pitch() * threads_) * sizeof(float); }

  void run(const Arguments& arguments) override {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    auto* y = static_cast<float*>(arguments.outputs[0]);
    auto* rows = static_cast<float*>(arguments.workspace);
    const std::int64_t in = columns_.in * lanes_, out = columns_.out * lanes_;
    const ResizeGeometry& g = geometry_;
    const std::int64_t count = g.images * g.planes * rows_.out;
    parallel_for(count, count * out < kSmall ? 1 : threads_, [&](std::int64_t index, int thread) {
      const std::int64_t image = index / rows_.out / g.planes, plane = index / rows_.out % g.planes;
      const float* from = x + image * g.in_pitch + plane * rows_.in * in;
      const float* row = blended(from, index % rows_.out, rows + thread * pitch());
      float* to = y + image * g.out_pitch + (plane * rows_.out + index % rows_.out) * out;
      if (lanes_ == 16) {
        blend_row<16>(columns_, row, to);
      } else if (lanes_ == 8) {
        blend_row<8>(columns_, row, to);
      } else {
        blend_row<1>(columns_, row, to);
      }
    });
  }

 private:
  static constexpr std::int64_t kSmall = 4096;  // elements that one thread does faster

  std::int64_t pitch() const { return round_up(columns_.in * lanes_, 16); }

  /// Output row `i` before its columns are resized, in `buffer` or where it stands.
  const float* blended(const float* plane, std::int64_t i, float* buffer) const {
    const std::int64_t in = columns_.in * lanes_;
    if (rows_.identity) return plane + i * in;
    const std::int64_t* source = rows_.source.data() + i * rows_.count;
    const float* weight = rows_.weight.data() + i * rows_.count;
    if (rows_.count == 2) {
      blend_rows<2>(in, plane, in, source, weight, buffer);
    } else {
      blend_rows<4>(in, plane, in, source, weight, buffer);
    }
    return buffer;
  }

  ResizeAxis rows_, columns_;
  ResizeGeometry geometry_;
  int lanes_, threads_;
};

Implementation build(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  std::vector<ResizeAxis> axes = resize_axes(problem);
  if (axes.size() == 1) {
    ResizeAxis one{1, 1, 1, {0}, {1.0F}, true};
    axes.insert(axes.begin(), std::move(one));
  }
  const std::size_t rank = axes.size();
  const bool blocked = problem.existing[0] == Layout::blocked;
  ResizeGeometry geometry{1, 1, 0, 0, 1};
  for (std::size_t i = 0; i + 2 < rank; ++i) geometry.planes *= x[i];
  if (blocked) {
    geometry = {x[0], divide_up(x[1], problem.env.block), problem.input_pitches[0], problem.output_pitches[0],
                problem.env.block};
  }
  auto step = std::make_unique<ResizeStep>(std::move(axes[rank - 2]), std::move(axes[rank - 1]), geometry,
                                           problem.env.threads);
  Implementation result;
  result.pitched = true;
  const bool linear = std::get<Resize>(problem.node.op).mode == Resize::Mode::linear;
  result.name = linear ? "cpu:resize_linear" : "cpu:resize_cubic";
  result.output = problem.existing[0];
  result.inputs.assign(problem.node.inputs.size(), Need::none);
  result.inputs[0] = need(result.output);
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel resize_blend_kernel() {
  return {"cpu:resize_blend", &refuse, &predict, &build};
}

}  // namespace wins::runtime::cpu
