// Resampling of the last two axes: each output element is a weighted sum of a few rows and columns, from tables
// (ONNX Resize-19, which is separable).
#include <cmath>
#include <cstring>

#include "wins/runtime/cuda/divisor.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"

namespace wins::runtime::cuda {
namespace {

using graph::Resize;

// ---- tables ----------------------------------------------------------------------------------------

/// One axis: output element i is the sum of `taps` source elements times their weights.
struct ResizeAxis {
  std::int64_t in = 1, out = 1;
  int taps = 1;
  std::vector<std::int32_t> sources;  ///< [out][taps]
  std::vector<float> weights;         ///< [out][taps]
  bool identity = true;
};

double source_position(const Resize& op, const ResizeAxis& axis, double scale, std::int64_t index) {
  const auto x = static_cast<double>(index), in = static_cast<double>(axis.in), out = static_cast<double>(axis.out);
  const double half_pixel = (x + 0.5) / scale - 0.5;
  switch (op.coordinate) {
    case Resize::Coordinate::half_pixel: return half_pixel;
    case Resize::Coordinate::half_pixel_symmetric: return in / 2 * (1 - out / (scale * in)) + half_pixel;
    case Resize::Coordinate::pytorch_half_pixel: return axis.out > 1 ? half_pixel : 0;
    case Resize::Coordinate::align_corners: return axis.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case Resize::Coordinate::asymmetric: return x / scale;
  }
  return half_pixel;
}

double round_nearest(Resize::Nearest mode, double x) {
  switch (mode) {
    case Resize::Nearest::round_prefer_floor: return std::ceil(x - 0.5);
    case Resize::Nearest::round_prefer_ceil: return std::floor(x + 0.5);
    case Resize::Nearest::floor: return std::floor(x);
    case Resize::Nearest::ceil: return std::ceil(x);
  }
  return x;
}

/// Keys' cubic convolution kernel with parameter a.
double cubic_weight(double a, double distance) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/// Indices outside the input read the edge.
void add_tap(ResizeAxis& axis, double source, double weight) {
  axis.sources.push_back(static_cast<std::int32_t>(std::clamp<double>(source, 0, static_cast<double>(axis.in - 1))));
  axis.weights.push_back(static_cast<float>(weight));
}

void add_element(const Resize& op, ResizeAxis& axis, double position) {
  if (op.mode == Resize::Mode::nearest) return add_tap(axis, round_nearest(op.nearest, position), 1);
  const double base = std::floor(position), fraction = position - base;
  if (op.mode == Resize::Mode::linear) {
    add_tap(axis, base, 1 - fraction);
    add_tap(axis, base + 1, fraction);
    return;
  }
  for (int i = -1; i <= 2; ++i) add_tap(axis, base + i, cubic_weight(static_cast<double>(op.cubic_a), fraction - i));
}

ResizeAxis make_axis(const Resize& op, std::int64_t in, std::int64_t out, double scale) {
  ResizeAxis axis{in, out, 1, {}, {}, in == out && scale == 1.0};
  if (!axis.identity) axis.taps = op.mode == Resize::Mode::nearest ? 1 : op.mode == Resize::Mode::linear ? 2 : 4;
  for (std::int64_t i = 0; i < out; ++i) {
    if (axis.identity) {
      add_tap(axis, static_cast<double>(i), 1);
    } else {
      add_element(op, axis, source_position(op, axis, scale, i));
    }
  }
  return axis;
}

/// Sizes, or else scales; null when neither is known.
const Tensor* given_extents(const Problem& problem) {
  for (const std::size_t i : {3, 2}) {
    const Tensor* tensor = problem.constant(i);
    if (tensor != nullptr && tensor->size() > 0) return tensor;
  }
  return nullptr;
}

std::vector<ResizeAxis> resize_axes(const Problem& problem) {
  const Tensor& given = *given_extents(problem);
  const bool by_size = &given == problem.constant(3);
  const Tensor values = given.cast(DType::f64);
  const Shape &x = problem.input_shape(0), &y = problem.output_shape();
  std::vector<ResizeAxis> axes;
  for (std::size_t d = 0; d < x.size(); ++d) {
    const double scale = by_size ? static_cast<double>(y[d]) / static_cast<double>(x[d]) : values.data<double>()[d];
    axes.push_back(make_axis(std::get<Resize>(problem.node.op), x[d], y[d], scale));
  }
  return axes;
}

// ---- kernel ----------------------------------------------------------------------------------------

/// One axis on the device.
struct AxisTable {
  const std::int32_t* sources;
  const float* weights;
};

/// Images of pixels of channels; a row-major tensor is images of one channel.
struct ResizeLayer {
  std::uint32_t parts = 0;  ///< units, or elements of one channel, of all output pixels
  Divisor by_parts, by_width, by_height;
  std::int32_t row_taps = 1, column_taps = 1;
  std::uint32_t in_height = 1, in_width = 1;
  std::int32_t channels = 1;
  std::uint32_t from_pitch = 1, to_pitch = 1;
};

template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
resize_parts(const __grid_constant__ ResizeLayer layer, const AxisTable rows, const AxisTable columns, const T* from, T* to) {
  for (std::uint32_t i = first_index(); i < layer.parts; i += index_stride()) {
    std::uint32_t part = i;
    const std::uint32_t pixel = layer.by_parts.divide(part);
    std::uint32_t ox = pixel;
    std::uint32_t oy = layer.by_width.divide(ox);
    const std::uint32_t n = layer.by_height.divide(oy);
    float sums[kSize] = {};
    for (int ky = 0; ky < layer.row_taps; ++ky) {
      const std::uint32_t row = oy * layer.row_taps + ky;
      const std::size_t y = static_cast<std::size_t>(n) * layer.in_height + rows.sources[row];
      for (int kx = 0; kx < layer.column_taps; ++kx) {
        const std::uint32_t column = ox * layer.column_taps + kx;
        const float weight = rows.weights[row] * columns.weights[column];
        const T* x = from + (y * layer.in_width + columns.sources[column]) * layer.from_pitch + part * kSize;
        float values[kSize];
        if constexpr (kSize == 1) {
          values[0] = to_float(*x);
        } else {
          load_unit(x, values);
        }
#pragma unroll
        for (int j = 0; j < kSize; ++j) sums[j] += weight * values[j];
      }
    }
    T* at = to + static_cast<std::size_t>(pixel) * layer.to_pitch + part * kSize;
    if constexpr (kSize == 1) {
      *at = from_float<T>(sums[0]);
    } else {
      const int valid = layer.channels - static_cast<int>(part) * kSize;
#pragma unroll
      for (int j = 0; j < kSize; ++j) sums[j] = j < valid ? sums[j] : 0.0F;
      store_unit(at, sums);
    }
  }
}

// ---- the node's side -------------------------------------------------------------------------------

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_values(problem, 1)) return reason;
  if (problem.input_shape(0).empty()) return "no axes";
  if (given_extents(problem) == nullptr) return "sizes are not constant";
  const std::vector<ResizeAxis> axes = resize_axes(problem);
  for (std::size_t d = 0; d + 2 < axes.size(); ++d) {
    if (!axes[d].identity) return "resizes other axes than the last two";
  }
  return std::nullopt;
}

/// Both axes in one buffer.
struct ResizeTables {
  DeviceBuffer memory;
  AxisTable rows{}, columns{};
};

std::shared_ptr<const ResizeTables> upload_tables(const ResizeAxis& rows, const ResizeAxis& columns) {
  std::vector<float> words = rows.weights;
  words.insert(words.end(), columns.weights.begin(), columns.weights.end());
  const std::size_t sources = words.size();
  // Bits of integers.
  for (const auto* axis : {&rows, &columns}) {
    for (const std::int32_t source : axis->sources) {
      float word = 0;
      std::memcpy(&word, &source, sizeof word);
      words.push_back(word);
    }
  }
  auto tables = std::make_shared<ResizeTables>();
  tables->memory = DeviceBuffer(words.data(), words.size() * sizeof(float));
  const auto* at = static_cast<const float*>(tables->memory.data());
  const auto* integers_at = reinterpret_cast<const std::int32_t*>(at + sources);
  tables->rows = {integers_at, at};
  tables->columns = {integers_at + rows.sources.size(), at + rows.weights.size()};
  return tables;
}

ResizeLayer make_layer(const Problem& problem, const ResizeAxis& rows, const ResizeAxis& columns) {
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const bool image = y.pitch > 0;
  const std::int64_t unit = problem.env.unit(), parts = image ? (y.shape[1] + unit - 1) / unit : 1;
  const std::int64_t pixels = image ? y.shape[0] * rows.out * columns.out : element_count(y.shape);
  ResizeLayer layer;
  layer.parts = static_cast<std::uint32_t>(pixels * parts);
  layer.by_parts = Divisor(parts);
  layer.by_width = Divisor(columns.out);
  layer.by_height = Divisor(rows.out);
  layer.row_taps = rows.taps;
  layer.column_taps = columns.taps;
  layer.in_height = static_cast<std::uint32_t>(rows.in);
  layer.in_width = static_cast<std::uint32_t>(columns.in);
  if (image) {
    layer.channels = static_cast<std::int32_t>(y.shape[1]);
    layer.from_pitch = static_cast<std::uint32_t>(x.pitch);
    layer.to_pitch = static_cast<std::uint32_t>(y.pitch);
  }
  return layer;
}

template <class T, int kSize>
Step make_step(const ResizeLayer& layer, std::shared_ptr<const ResizeTables> tables) {
  return [layer, tables = std::move(tables)](const Arguments& arguments) {
    resize_parts<T, kSize><<<blocks_for(layer.parts), kThreads, 0, arguments.stream>>>(
        layer, tables->rows, tables->columns, static_cast<const T*>(arguments.inputs[0]), static_cast<T*>(arguments.outputs[0]));
    check(cudaPeekAtLastError(), "a resize");
  };
}

Implementation build(const Problem& problem) {
  std::vector<ResizeAxis> axes = resize_axes(problem);
  if (axes.size() == 1) axes.insert(axes.begin(), ResizeAxis{1, 1, 1, {0}, {1.0F}, true});
  const ResizeAxis &rows = axes[axes.size() - 2], &columns = axes.back();
  const ResizeLayer layer = make_layer(problem, rows, columns);
  auto tables = upload_tables(rows, columns);
  Implementation result;
  result.name = "cuda:resize";
  result.reads = reads_first(problem, 1);
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    if (problem.outputs[0].pitch > 0) return make_step<T, kUnit<T>>(layer, tables);
    return make_step<T, 1>(layer, tables);
  });
  return result;
}

}  // namespace

Kernel resize_kernel() { return {"cuda:resize", &refuse, &predict_traffic, &build}; }

}  // namespace wins::runtime::cuda
