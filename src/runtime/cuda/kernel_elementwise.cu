// Functions of one element of each operand, with numpy broadcasting: whole units where the operands allow it, else
// element by element.
#include <array>
#include <cmath>
#include <memory>

#include "kernels.hpp"
#include "launch_chain.cuh"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "strided.hpp"
#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cuda {
namespace {

// ---- functions -------------------------------------------------------------------------------------

struct UnaryFunction {
  static constexpr int kOperands = 1;
  DeviceActivation activation;
  __device__ float operator()(const float (&x)[1]) const { return apply(activation, x[0]); }
};

struct BinaryFunction {
  static constexpr int kOperands = 2;
  graph::BinaryKind kind;
  DeviceActivation activation;

  __device__ float operator()(const float (&x)[2]) const { return apply(activation, combine(x[0], x[1])); }
  // As in the reference: which operand NaN gives.
  __device__ float combine(float a, float b) const {
    using graph::BinaryKind;
    switch (kind) {
      case BinaryKind::add: return a + b;
      case BinaryKind::sub: return a - b;
      case BinaryKind::mul: return a * b;
      case BinaryKind::div: return a / b;
      case BinaryKind::pow: return powf(a, b);
      case BinaryKind::min: return b < a ? b : a;
      case BinaryKind::max: return a < b ? b : a;
    }
    return a;
  }
};

struct PReluFunction {
  static constexpr int kOperands = 2;
  __device__ float operator()(const float (&x)[2]) const { return x[0] < 0 ? x[1] * x[0] : x[0]; }
};

struct ScaleShiftFunction {
  static constexpr int kOperands = 3;
  __device__ float operator()(const float (&x)[3]) const { return x[0] * x[1] + x[2]; }
};

// ---- kernels ---------------------------------------------------------------------------------------

/// Where the unit kernel finds an operand: at pixel * pixel_pitch + image * image_pitch + channel.
struct UnitSource {
  std::uint32_t pixel_pitch = 0, image_pitch = 0;
  bool floats = false;  ///< float32, whatever the storage type
  bool one = false;     ///< a single element for all
};

/// The units of an output: those of each pixel of an image, or those of a row-major tensor as one pixel.
template <int kOperands>
struct UnitGrid {
  std::uint32_t units = 0;     ///< of all pixels
  std::uint32_t length = 0;    ///< elements of a pixel
  std::uint32_t to_pitch = 0;  ///< from one pixel to the next
  bool filled = false;         ///< the last unit of a pixel is written whole
  Divisor by_units, by_pixels;
  UnitSource sources[kOperands];
};

template <int kOperands>
struct StridedGrid {
  StridedAxes<kOperands + 1> axes;
  bool floats[kOperands] = {};
};

template <int kOperands>
struct Pointers {
  const void* from[kOperands];
};

/// `count` elements from `first` on of a pixel.
template <class T>
__device__ void load_source(const UnitSource& source, const void* from, std::uint32_t pixel, std::uint32_t image,
                            std::uint32_t first, int count, float (&values)[kUnit<T>]) {
  if (source.one) {
    const float value = source.floats ? *static_cast<const float*>(from) : to_float(*static_cast<const T*>(from));
#pragma unroll
    for (int i = 0; i < kUnit<T>; ++i) values[i] = value;
    return;
  }
  const std::uint32_t at = pixel * source.pixel_pitch + image * source.image_pitch + first;
  if (!source.floats) return load_part(static_cast<const T*>(from) + at, count, values);
  const float* floats = static_cast<const float*>(from) + at;
#pragma unroll
  for (int i = 0; i < kUnit<T>; ++i) values[i] = i < count ? floats[i] : 0.0F;
}

template <class T, class F>
__global__ void __launch_bounds__(kThreads)
unit_kernel(const __grid_constant__ UnitGrid<F::kOperands> grid, const __grid_constant__ Pointers<F::kOperands> pointers, T* to, const F f) {
  constexpr int kSize = kUnit<T>;
  wait_for_predecessor();
  for (std::uint32_t i = first_index(); i < grid.units; i += index_stride()) {
    std::uint32_t unit = i;
    const std::uint32_t pixel = grid.by_units.divide(unit);
    std::uint32_t rest = pixel;
    const std::uint32_t image = grid.by_pixels.divide(rest);
    const std::uint32_t first = unit * kSize;
    const int valid = min(kSize, static_cast<int>(grid.length - first));
    const int count = grid.filled ? kSize : valid;
    float values[F::kOperands][kSize];
#pragma unroll
    for (int s = 0; s < F::kOperands; ++s) {
      load_source<T>(grid.sources[s], pointers.from[s], pixel, image, first, count, values[s]);
    }
    float result[kSize];
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      float x[F::kOperands];
#pragma unroll
      for (int s = 0; s < F::kOperands; ++s) x[s] = values[s][j];
      result[j] = j < valid ? f(x) : 0.0F;
    }
    store_part(to + static_cast<std::size_t>(pixel) * grid.to_pitch + first, count, result);
  }
}

template <class T, class F>
__global__ void __launch_bounds__(kThreads)
strided_kernel(const __grid_constant__ StridedGrid<F::kOperands> grid, const __grid_constant__ Pointers<F::kOperands> pointers, T* to, const F f) {
  for (std::uint32_t i = first_index(); i < grid.axes.elements; i += index_stride()) {
    const auto place = locate(grid.axes, i);
    float result = 0;
    if (!place.fill) {
      float x[F::kOperands];
#pragma unroll
      for (int s = 0; s < F::kOperands; ++s) {
        const std::uint32_t at = place.offsets[s + 1];
        x[s] = grid.floats[s] ? static_cast<const float*>(pointers.from[s])[at] : to_float(static_cast<const T*>(pointers.from[s])[at]);
      }
      result = f(x);
    }
    to[place.offsets[0]] = from_float<T>(result);
  }
}

// ---- operands --------------------------------------------------------------------------------------

/// An operand: an input of the node, or numbers of this shape.
struct Source {
  std::size_t input = 0;
  Layout layout;  ///< row-major for numbers
  bool constant = false;
  std::vector<float> values;
};

Source input_source(const Problem& problem, std::size_t i) { return {i, problem.inputs[i], false, {}}; }

Source constant_source(std::size_t i, const Shape& shape, std::vector<float> values) {
  return {i, plain_layout(shape), true, std::move(values)};
}

/// Constants become numbers in float32: their type may be another one, and float16 is too narrow for some.
Source any_source(const Problem& problem, std::size_t i) {
  const Tensor* constant = problem.constant(i);
  return constant != nullptr ? constant_source(i, constant->shape(), numbers(problem, i)) : input_source(problem, i);
}

/// How the unit kernel reads an operand of an image; nothing when it cannot.
std::optional<UnitSource> image_source(const Layout& to, const Source& source) {
  Shape shape = source.layout.shape;
  shape.insert(shape.begin(), 4 - shape.size(), 1);
  UnitSource result;
  result.floats = source.constant;
  const bool lies_in_units = !source.constant && source.layout.pitch > 0;
  if (lies_in_units && shape == to.shape) {
    result.pixel_pitch = static_cast<std::uint32_t>(source.layout.pitch);
    return result;
  }
  if (shape[1] != to.shape[1] || shape[2] != 1 || shape[3] != 1) return std::nullopt;
  if (source.constant && shape[0] == 1) return result;
  if (!lies_in_units) return std::nullopt;
  if (shape[0] != 1) result.image_pitch = static_cast<std::uint32_t>(source.layout.strides[0]);
  return result;
}

std::optional<UnitSource> unit_source(const Layout& to, const Source& source) {
  const std::int64_t count = element_count(source.layout.shape);
  if (count == 1) return UnitSource{0, 0, source.constant, true};
  if (to.pitch > 0) return image_source(to, source);
  // As many elements in the same order.
  if (source.layout.pitch > 0 || count != element_count(to.shape)) return std::nullopt;
  return UnitSource{0, 0, source.constant, false};
}

template <std::size_t kOperands>
std::optional<UnitGrid<kOperands>> unit_grid(const Problem& problem, const std::array<Source, kOperands>& sources) {
  const Layout& to = problem.outputs[0];
  const std::int64_t unit = problem.env.unit(), count = element_count(to.shape);
  const bool image = to.pitch > 0;
  const std::int64_t length = image ? to.shape[1] : count, pixels = count / length, units = (length + unit - 1) / unit;
  UnitGrid<kOperands> grid;
  grid.units = static_cast<std::uint32_t>(pixels * units);
  grid.length = static_cast<std::uint32_t>(length);
  grid.to_pitch = static_cast<std::uint32_t>(to.pitch);
  grid.filled = image;
  grid.by_units = Divisor(units);
  grid.by_pixels = Divisor(image ? to.shape[2] * to.shape[3] : 1);
  for (std::size_t s = 0; s < kOperands; ++s) {
    const auto source = unit_source(to, sources[s]);
    if (!source) return std::nullopt;
    grid.sources[s] = *source;
  }
  return grid;
}

template <std::size_t kOperands>
StridedGrid<kOperands> strided_grid(const Problem& problem, const std::array<Source, kOperands>& sources) {
  const Layout& to = problem.outputs[0];
  const std::size_t rank = to.shape.size();
  std::vector<StridedAxis<kOperands + 1>> axes(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    axes[d].extent = to.shape[d];
    axes[d].strides[0] = to.strides[d];
    for (std::size_t s = 0; s < kOperands; ++s) axes[d].strides[s + 1] = broadcast_stride(sources[s].layout, d, rank);
    axes[d].channel = has_fill(to, d, problem.env.unit());
  }
  StridedGrid<kOperands> grid;
  grid.axes = make_strided(std::move(axes), problem.env.unit());
  for (std::size_t s = 0; s < kOperands; ++s) grid.floats[s] = sources[s].constant;
  return grid;
}

/// Operands on the device or among the node's inputs.
template <std::size_t kOperands>
struct Operands {
  std::array<std::shared_ptr<const DeviceBuffer>, kOperands> constants;
  std::array<std::size_t, kOperands> inputs{};

  Pointers<kOperands> pointers(const Arguments& arguments) const {
    Pointers<kOperands> result;
    for (std::size_t s = 0; s < kOperands; ++s) result.from[s] = constants[s] ? constants[s]->data() : arguments.inputs[inputs[s]];
    return result;
  }
};

/// Constants of one element for each channel get zeros up to a whole unit, which the unit kernel reads.
template <std::size_t kOperands>
Operands<kOperands> upload_operands(const Problem& problem, std::string_view kernel, std::array<Source, kOperands>& sources) {
  Operands<kOperands> result;
  for (std::size_t s = 0; s < kOperands; ++s) {
    result.inputs[s] = sources[s].input;
    if (!sources[s].constant) continue;
    std::vector<float>& values = sources[s].values;
    const auto unit = static_cast<std::size_t>(problem.env.unit());
    values.resize((values.size() + unit - 1) / unit * unit);
    result.constants[s] = upload_floats(problem.env, constant_key(problem, kernel, std::to_string(s), values), values);
  }
  return result;
}

template <class T, class F>
Step make_step(const Problem& problem, const std::array<Source, F::kOperands>& sources, const Operands<F::kOperands>& operands, const F& f) {
  if (const auto grid = unit_grid(problem, sources)) {
    return [grid = *grid, operands, f](const Arguments& arguments) {
      launch_early(&unit_kernel<T, F>, blocks_for(grid.units), kThreads, 0, arguments.stream, grid, operands.pointers(arguments),
                   static_cast<T*>(arguments.outputs[0]), f);
      check(cudaPeekAtLastError(), "an element-wise kernel");
    };
  }
  return [grid = strided_grid(problem, sources), operands, f](const Arguments& arguments) {
    strided_kernel<T, F><<<blocks_for(grid.axes.elements), kThreads, 0, arguments.stream>>>(grid, operands.pointers(arguments),
                                                                                            static_cast<T*>(arguments.outputs[0]), f);
    check(cudaPeekAtLastError(), "an element-wise kernel");
  };
}

template <class F>
Implementation build_elementwise(const Problem& problem, std::string_view name, std::array<Source, F::kOperands> sources, const F& f) {
  Implementation result;
  result.name = name;
  result.reads.assign(problem.node.inputs.size(), false);
  for (const Source& source : sources) {
    if (!source.constant) result.reads[source.input] = true;
  }
  const auto operands = upload_operands(problem, name, sources);
  result.weights.assign(operands.constants.begin(), operands.constants.end());
  result.step = with_storage(problem.env.operand, [&](auto type) {
    return make_step<typename decltype(type)::type, F>(problem, sources, operands, f);
  });
  return result;
}

// ---- the node's side -------------------------------------------------------------------------------

std::optional<std::string> refuse_unary(const Problem& problem) { return refuse_values(problem); }

Implementation build_unary(const Problem& problem) {
  const UnaryFunction f{device_activation(std::get<graph::Unary>(problem.node.op).function)};
  return build_elementwise(problem, "cuda:unary", {input_source(problem, 0)}, f);
}

/// Two operands, the second one a constant of any type or a float32 value.
std::optional<std::string> refuse_pair(const Problem& problem) {
  if (problem.constant(1) == nullptr) return refuse_values(problem);
  if (problem.constant(1)->size() == 0) return "empty";
  if (problem.constant(1)->rank() > kMaxStridedAxes) return "too many axes";
  return refuse_values(problem, 1);
}

Implementation build_binary(const Problem& problem) {
  const auto& op = std::get<graph::Binary>(problem.node.op);
  const BinaryFunction f{op.kind, device_activation(op.activation)};
  return build_elementwise(problem, "cuda:binary", {any_source(problem, 0), any_source(problem, 1)}, f);
}

Implementation build_prelu(const Problem& problem) {
  return build_elementwise(problem, "cuda:prelu", {input_source(problem, 0), any_source(problem, 1)}, PReluFunction());
}

std::optional<std::string> refuse_scale_shift(const Problem& problem) {
  if (auto reason = refuse_variable(problem, 1)) return reason;
  return refuse_values(problem, 1);
}

Implementation build_scale_shift(const Problem& problem) {
  ScaleShift factors = scale_shift_of(problem.env.graph, problem.node);
  Shape shape(problem.input_shape(0).size() - 1, 1);
  shape[0] = problem.input_shape(0)[1];
  return build_elementwise(problem, "cuda:scale_shift",
                           {input_source(problem, 0), constant_source(1, shape, std::move(factors.scale)), constant_source(2, shape, std::move(factors.shift))},
                           ScaleShiftFunction());
}

}  // namespace

Kernel unary_kernel() { return {"cuda:unary", &refuse_unary, &predict_traffic, &build_unary}; }
Kernel binary_kernel() { return {"cuda:binary", &refuse_pair, &predict_traffic, &build_binary}; }
Kernel prelu_kernel() { return {"cuda:prelu", &refuse_pair, &predict_traffic, &build_prelu}; }
Kernel scale_shift_kernel() { return {"cuda:scale_shift", &refuse_scale_shift, &predict_traffic, &build_scale_shift}; }

}  // namespace wins::runtime::cuda
