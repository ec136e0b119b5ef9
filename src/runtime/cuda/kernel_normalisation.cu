// Softmax and layer normalisation, with a warp or a block for each line, and local response normalisation.
#include <cmath>

#include "kernels.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "strided.hpp"

namespace wins::runtime::cuda {
namespace {

// ---- lines -----------------------------------------------------------------------------------------

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Largest {
  __device__ float operator()(float a, float b) const { return a < b ? b : a; }
};

/// The values of kLanes neighbouring threads as one, which all of them get. Lanes of a warp or of a block.
template <int kLanes, class Combine>
__device__ float combine_lanes(float value, const Combine& combine) {
  static_assert(kLanes == 32 || kLanes == kThreads);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value = combine(value, __shfl_xor_sync(0xFFFFFFFFU, value, step));
  if constexpr (kLanes > 32) {
    __shared__ float parts[kLanes / 32];
    __syncthreads();  // the last use of `parts` is over
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[0];
    for (int i = 1; i < kLanes / 32; ++i) value = combine(value, parts[i]);
  }
  return value;
}

/// The line of this thread; the same for all its lanes.
template <int kLanes>
__device__ std::uint32_t line_index() {
  return blockIdx.x * (kThreads / kLanes) + threadIdx.x / kLanes;
}

/// A warp for short lines.
bool is_short(std::uint32_t extent) { return extent <= 1024; }
unsigned line_blocks(std::uint32_t lines, std::uint32_t extent) { return is_short(extent) ? (lines + kThreads / 32 - 1) / (kThreads / 32) : lines; }

/// Axis `d` of an input and an output of one shape.
StridedAxis<2> shared_axis(const Problem& problem, std::size_t d) {
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  return {y.shape[d], {y.strides[d], x.strides[d]}, has_fill(y, d, problem.env.unit())};
}

// ---- softmax ---------------------------------------------------------------------------------------

struct SoftmaxLayer {
  StridedAxes<2> lines;  ///< output and input
  std::uint32_t extent = 1, to_stride = 1, from_stride = 1;
  std::uint32_t filled = 1;  ///< extent with the channels that fill the last unit
  bool log = false;
};

template <class T, int kLanes>
__global__ void __launch_bounds__(kThreads) softmax_lines(const __grid_constant__ SoftmaxLayer layer, const T* from, T* to) {
  const std::uint32_t line = line_index<kLanes>(), lane = threadIdx.x % kLanes;
  if (line >= layer.lines.elements) return;
  const auto place = locate(layer.lines, line);
  const T* x = from + place.offsets[1];
  T* y = to + place.offsets[0];
  if (place.fill) {
    for (std::uint32_t i = lane; i < layer.filled; i += kLanes) y[i * layer.to_stride] = from_float<T>(0);
    return;
  }
  float largest = -INFINITY;
  for (std::uint32_t i = lane; i < layer.extent; i += kLanes) largest = Largest()(largest, to_float(x[i * layer.from_stride]));
  largest = combine_lanes<kLanes>(largest, Largest());
  float sum = 0;
  for (std::uint32_t i = lane; i < layer.extent; i += kLanes) sum += expf(to_float(x[i * layer.from_stride]) - largest);
  sum = combine_lanes<kLanes>(sum, Sum());
  const float logarithm = logf(sum);
  for (std::uint32_t i = lane; i < layer.filled; i += kLanes) {
    float result = 0;
    if (i < layer.extent) {
      const float shifted = to_float(x[i * layer.from_stride]) - largest;
      result = layer.log ? shifted - logarithm : expf(shifted) / sum;
    }
    y[i * layer.to_stride] = from_float<T>(result);
  }
}

template <class T>
void launch_softmax(const SoftmaxLayer& layer, const Arguments& arguments) {
  const unsigned blocks = line_blocks(layer.lines.elements, layer.extent);
  const auto* x = static_cast<const T*>(arguments.inputs[0]);
  auto* y = static_cast<T*>(arguments.outputs[0]);
  if (is_short(layer.extent)) {
    softmax_lines<T, 32><<<blocks, kThreads, 0, arguments.stream>>>(layer, x, y);
  } else {
    softmax_lines<T, kThreads><<<blocks, kThreads, 0, arguments.stream>>>(layer, x, y);
  }
  check(cudaPeekAtLastError(), "a softmax");
}

std::optional<std::string> refuse_softmax(const Problem& problem) {
  if (problem.input_shape(0).empty()) return "no axes";
  return refuse_values(problem);
}

Implementation build_softmax(const Problem& problem) {
  const auto& op = std::get<graph::Softmax>(problem.node.op);
  const Layout& y = problem.outputs[0];
  const std::size_t axis = normal_axis(op.axis, y.shape.size());
  const std::int64_t unit = problem.env.unit();
  std::vector<StridedAxis<2>> lines;
  for (std::size_t d = 0; d < y.shape.size(); ++d) {
    if (d != axis) lines.push_back(shared_axis(problem, d));
  }
  SoftmaxLayer layer;
  layer.lines = make_strided(std::move(lines), unit);
  layer.extent = layer.filled = static_cast<std::uint32_t>(y.shape[axis]);
  if (has_fill(y, axis, unit)) layer.filled = static_cast<std::uint32_t>((y.shape[axis] + unit - 1) / unit * unit);
  layer.to_stride = static_cast<std::uint32_t>(y.strides[axis]);
  layer.from_stride = static_cast<std::uint32_t>(problem.inputs[0].strides[axis]);
  layer.log = op.log;
  Implementation result;
  result.name = "cuda:softmax";
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer](const Arguments& arguments) { launch_softmax<T>(layer, arguments); };
  });
  return result;
}

// ---- layer normalisation ---------------------------------------------------------------------------

struct LayerNormLayer {
  StridedAxes<2> lines;   ///< output and input
  StridedAxes<3> inside;  ///< output, input and parameter, along a line
  float extent = 1;
  float epsilon = 0;
};

template <class T, int kLanes>
__global__ void __launch_bounds__(kThreads)
layer_norm_lines(const __grid_constant__ LayerNormLayer layer, const T* from, const float* scale, const float* shift, T* to) {
  const std::uint32_t line = line_index<kLanes>(), lane = threadIdx.x % kLanes;
  if (line >= layer.lines.elements) return;
  const auto place = locate(layer.lines, line);
  const T* x = from + place.offsets[1];
  T* y = to + place.offsets[0];
  const std::uint32_t elements = layer.inside.elements;
  float sum = 0;
  for (std::uint32_t i = lane; i < elements && !place.fill; i += kLanes) {
    const auto at = locate(layer.inside, i);
    if (!at.fill) sum += to_float(x[at.offsets[1]]);
  }
  const float mean = combine_lanes<kLanes>(sum, Sum()) / layer.extent;
  float squares = 0;
  for (std::uint32_t i = lane; i < elements && !place.fill; i += kLanes) {
    const auto at = locate(layer.inside, i);
    const float difference = at.fill ? 0.0F : to_float(x[at.offsets[1]]) - mean;
    squares += difference * difference;
  }
  const float factor = 1 / sqrtf(combine_lanes<kLanes>(squares, Sum()) / layer.extent + layer.epsilon);
  for (std::uint32_t i = lane; i < elements; i += kLanes) {
    const auto at = locate(layer.inside, i);
    float result = 0;
    if (!place.fill && !at.fill) {
      const std::uint32_t p = at.offsets[2];
      result = (to_float(x[at.offsets[1]]) - mean) * factor * scale[p] + (shift != nullptr ? shift[p] : 0.0F);
    }
    y[at.offsets[0]] = from_float<T>(result);
  }
}

std::optional<std::string> refuse_layer_norm(const Problem& problem) {
  if (problem.input_shape(0).empty()) return "no axes";
  if (auto reason = refuse_variable(problem, 1)) return reason;
  return refuse_values(problem, 1);
}

LayerNormLayer layer_norm_layer(const Problem& problem) {
  const auto& op = std::get<graph::LayerNorm>(problem.node.op);
  const Layout& y = problem.outputs[0];
  const std::size_t rank = y.shape.size(), axis = normal_axis(op.axis, rank);
  const Layout parameters = plain_layout(y.shape);  // those of the inner axes alone are the same
  std::vector<StridedAxis<2>> lines;
  std::vector<StridedAxis<3>> inside;
  LayerNormLayer layer;
  for (std::size_t d = 0; d < rank; ++d) {
    const StridedAxis<2> both = shared_axis(problem, d);
    if (d < axis) {
      lines.push_back(both);
    } else {
      inside.push_back({both.extent, {both.strides[0], both.strides[1], parameters.strides[d]}, both.channel});
      layer.extent *= static_cast<float>(both.extent);
    }
  }
  layer.lines = make_strided(std::move(lines), problem.env.unit());
  layer.inside = make_strided(std::move(inside), problem.env.unit());
  layer.epsilon = op.epsilon;
  return layer;
}

template <class T>
void launch_layer_norm(const LayerNormLayer& layer, const float* scale, const float* shift, const Arguments& arguments) {
  const unsigned blocks = line_blocks(layer.lines.elements, layer.inside.elements);
  const auto* x = static_cast<const T*>(arguments.inputs[0]);
  auto* y = static_cast<T*>(arguments.outputs[0]);
  if (is_short(layer.inside.elements)) {
    layer_norm_lines<T, 32><<<blocks, kThreads, 0, arguments.stream>>>(layer, x, scale, shift, y);
  } else {
    layer_norm_lines<T, kThreads><<<blocks, kThreads, 0, arguments.stream>>>(layer, x, scale, shift, y);
  }
  check(cudaPeekAtLastError(), "a layer normalisation");
}

std::shared_ptr<const DeviceBuffer> upload_parameter(const Problem& problem, std::size_t i) {
  if (!problem.has_input(i)) return nullptr;
  const std::vector<float> values = numbers(problem, i);
  return upload_floats(problem.env, constant_key(problem, "cuda:layer_norm", std::to_string(i), values), values);
}

Implementation build_layer_norm(const Problem& problem) {
  const auto scale = upload_parameter(problem, 1), shift = upload_parameter(problem, 2);
  Implementation result;
  result.name = "cuda:layer_norm";
  result.reads = reads_first(problem, 1);
  result.weights = {scale, shift};
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer = layer_norm_layer(problem), scale, shift](const Arguments& arguments) {
      launch_layer_norm<T>(layer, static_cast<const float*>(scale->data()), shift ? static_cast<const float*>(shift->data()) : nullptr, arguments);
    };
  });
  return result;
}

// ---- local response normalisation ------------------------------------------------------------------

struct LrnLayer {
  StridedAxes<2> axes;  ///< output and input
  std::int32_t channels = 1, channel_stride = 1;
  std::int32_t before = 0, after = 0;  ///< neighbours of a channel
  float factor = 0, beta = 0, bias = 1;
};

template <class T>
__global__ void __launch_bounds__(kThreads) lrn_elements(const __grid_constant__ LrnLayer layer, const T* from, T* to) {
  for (std::uint32_t i = first_index(); i < layer.axes.elements; i += index_stride()) {
    const auto place = locate(layer.axes, i);
    float result = 0;
    if (!place.fill) {
      const auto c = static_cast<int>(place.channel);
      const int first = max(0, c - layer.before), last = min(layer.channels - 1, c + layer.after);
      const T* x = from + place.offsets[1];
      float sum = 0;
      for (int other = first; other <= last; ++other) {
        const float value = to_float(x[static_cast<std::ptrdiff_t>(other - c) * layer.channel_stride]);
        sum += value * value;
      }
      result = to_float(*x) / powf(layer.bias + layer.factor * sum, layer.beta);
    }
    to[place.offsets[0]] = from_float<T>(result);
  }
}

std::optional<std::string> refuse_lrn(const Problem& problem) {
  if (problem.input_shape(0).size() < 2) return "no channels";
  return refuse_values(problem);
}

Implementation build_lrn(const Problem& problem) {
  const auto& op = std::get<graph::Lrn>(problem.node.op);
  const Layout& y = problem.outputs[0];
  std::vector<StridedAxis<2>> axes;
  for (std::size_t d = 0; d < y.shape.size(); ++d) {
    axes.push_back(shared_axis(problem, d));
    axes.back().channel = d == 1;  // its index is needed
  }
  LrnLayer layer;
  layer.axes = make_strided(std::move(axes), y.pitch > 0 ? problem.env.unit() : 1);
  layer.channels = static_cast<std::int32_t>(y.shape[1]);
  layer.channel_stride = static_cast<std::int32_t>(problem.inputs[0].strides[1]);
  // More neighbours than channels are not needed, and might not fit.
  layer.before = static_cast<std::int32_t>(std::min(y.shape[1], (op.size - 1) / 2));
  layer.after = static_cast<std::int32_t>(std::min(y.shape[1], op.size / 2));
  layer.factor = op.alpha / static_cast<float>(op.size);
  layer.beta = op.beta;
  layer.bias = op.bias;
  Implementation result;
  result.name = "cuda:lrn";
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer](const Arguments& arguments) {
      lrn_elements<T><<<blocks_for(layer.axes.elements), kThreads, 0, arguments.stream>>>(layer, static_cast<const T*>(arguments.inputs[0]),
                                                                                          static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a local response normalisation");
    };
  });
  return result;
}

}  // namespace

Kernel softmax_kernel() { return {"cuda:softmax", &refuse_softmax, &predict_traffic, &build_softmax}; }
Kernel lrn_kernel() { return {"cuda:lrn", &refuse_lrn, &predict_traffic, &build_lrn}; }
Kernel layer_norm_kernel() { return {"cuda:layer_norm", &refuse_layer_norm, &predict_traffic, &build_layer_norm}; }

}  // namespace wins::runtime::cuda
