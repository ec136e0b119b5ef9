// Pools over NHWC: a thread for each 16-byte unit of channels.
#include <cmath>

#include "wins/runtime/cuda/divisor.hpp"
#include "kernels.hpp"
#include "launch_chain.cuh"
#include "nan_order.cuh"
#include "problem_facts.hpp"
#include "storage.cuh"

namespace wins::runtime::cuda {
namespace {

using graph::Pool;

// ---- windows ---------------------------------------------------------------------------------------

/// One spatial axis: output o reads input o * stride - pad_before + tap * dilation.
struct PoolAxis {
  std::int32_t in = 0, kernel = 1, stride = 1, dilation = 1, pad_before = 0, pad_after = 0;
};

struct PoolLayer {
  std::uint32_t units = 0;  ///< of all output pixels
  Divisor by_units, by_width, by_height;
  PoolAxis rows, columns;
  std::int32_t channels = 0;
  std::uint32_t from_pitch = 0, to_pitch = 0;
  bool average = false, include_pad = false;
};

/// Taps of a window in the input, and in the input or its padding: with ceil_mode a window may reach beyond.
__device__ inline int count_taps(const PoolAxis& axis, int start, bool include_pad) {
  int count = 0;
  for (int tap = 0; tap < axis.kernel; ++tap) {
    const int at = start + tap * axis.dilation;
    if (include_pad ? at < axis.in + axis.pad_after : at >= 0 && at < axis.in) ++count;
  }
  return count;
}

/// Adds one pixel to a window, as the reference does.
template <int kSize>
__device__ void add_pixel(bool average, const float (&x)[kSize], float (&sums)[kSize]) {
#pragma unroll
  for (int j = 0; j < kSize; ++j) {
    if (average) {
      sums[j] += x[j];
    } else if (!(x[j] <= sums[j])) {
      sums[j] = x[j];
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) pool_kernel(const __grid_constant__ PoolLayer layer, const T* from, T* to) {
  constexpr int kSize = kUnit<T>;
  const PoolAxis &rows = layer.rows, &columns = layer.columns;
  wait_for_predecessor();
  for (std::uint32_t i = first_index(); i < layer.units; i += index_stride()) {
    std::uint32_t unit = i;
    const std::uint32_t pixel = layer.by_units.divide(unit);
    std::uint32_t ox = pixel;
    std::uint32_t oy = layer.by_width.divide(ox);
    const std::uint32_t n = layer.by_height.divide(oy);
    const int first_y = static_cast<int>(oy) * rows.stride - rows.pad_before;
    const int first_x = static_cast<int>(ox) * columns.stride - columns.pad_before;
    const T* image = from + static_cast<std::size_t>(n) * rows.in * columns.in * layer.from_pitch + unit * kSize;
    float sums[kSize];
#pragma unroll
    for (int j = 0; j < kSize; ++j) sums[j] = layer.average ? 0.0F : -INFINITY;
    for (int ky = 0; ky < rows.kernel; ++ky) {
      const int y = first_y + ky * rows.dilation;
      if (y < 0 || y >= rows.in) continue;
      for (int kx = 0; kx < columns.kernel; ++kx) {
        const int x = first_x + kx * columns.dilation;
        if (x < 0 || x >= columns.in) continue;
        float values[kSize];
        load_unit(image + (static_cast<std::size_t>(y) * columns.in + x) * layer.from_pitch, values);
        add_pixel(layer.average, values, sums);
      }
    }
    const int count = count_taps(rows, first_y, layer.include_pad) * count_taps(columns, first_x, layer.include_pad);
    const auto divisor = static_cast<float>(layer.average ? max(1, count) : 1);
    const int valid = layer.channels - static_cast<int>(unit) * kSize;
#pragma unroll
    for (int j = 0; j < kSize; ++j) sums[j] = j < valid ? sums[j] / divisor : 0.0F;
    store_unit(to + static_cast<std::size_t>(pixel) * layer.to_pitch + unit * kSize, sums);
  }
}

PoolAxis pool_axis(const graph::Window& window, std::size_t d, std::int64_t in) {
  const auto narrow = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  return {narrow(in), narrow(window.kernel[d]), narrow(window.stride[d]), narrow(window.dilation[d]), narrow(window.pads[d]),
          narrow(window.pads[d + 2])};
}

std::optional<std::string> refuse_pool(const Problem& problem) {
  if (problem.node.outputs.size() > 1) return "more than one output";
  return refuse_values(problem);
}

Implementation build_pool(const Problem& problem) {
  const auto& op = std::get<Pool>(problem.node.op);
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const std::int64_t unit = problem.env.unit(), units = (y.shape[1] + unit - 1) / unit;
  PoolLayer layer;
  layer.units = static_cast<std::uint32_t>(y.shape[0] * y.shape[2] * y.shape[3] * units);
  layer.by_units = Divisor(units);
  layer.by_width = Divisor(y.shape[3]);
  layer.by_height = Divisor(y.shape[2]);
  layer.rows = pool_axis(op.window, 0, x.shape[2]);
  layer.columns = pool_axis(op.window, 1, x.shape[3]);
  layer.channels = static_cast<std::int32_t>(y.shape[1]);
  layer.from_pitch = static_cast<std::uint32_t>(x.pitch);
  layer.to_pitch = static_cast<std::uint32_t>(y.pitch);
  layer.average = op.kind == Pool::Kind::average;
  layer.include_pad = op.count_include_pad;
  Implementation result;
  result.name = "cuda:pool";
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer](const Arguments& arguments) {
      launch_early(&pool_kernel<T>, blocks_for(layer.units), kThreads, 0, arguments.stream, layer, static_cast<const T*>(arguments.inputs[0]),
                   static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a pool");
    };
  });
  return result;
}

// ---- whole images ----------------------------------------------------------------------------------

constexpr int kMaxGroup = 8;  // units that a block takes side by side: 128 bytes of each pixel

struct GlobalLayer {
  std::uint32_t blocks = 0;
  std::uint32_t groups = 0;  ///< of units in an image
  std::uint32_t group = 0;   ///< units in a group, a power of two
  std::uint32_t units = 0, pixels = 0;
  std::int32_t channels = 0;
  std::uint32_t from_pitch = 0, to_pitch = 0;
  bool average = false;
};

/// Block: a group of units of one image; its threads share out the pixels.
template <class T>
__global__ void __launch_bounds__(kThreads) global_pool_kernel(const __grid_constant__ GlobalLayer layer, const T* from, T* to) {
  constexpr int kSize = kUnit<T>;
  __shared__ float shared[kThreads][kSize];
  wait_for_predecessor();
  const std::uint32_t n = blockIdx.x / layer.groups, lanes = kThreads / layer.group;
  const std::uint32_t lane = threadIdx.x / layer.group;
  const std::uint32_t unit = blockIdx.x % layer.groups * layer.group + threadIdx.x % layer.group;
  float sums[kSize];
#pragma unroll
  for (int j = 0; j < kSize; ++j) sums[j] = layer.average ? 0.0F : -INFINITY;
  if (unit < layer.units) {
    const T* image = from + static_cast<std::size_t>(n) * layer.pixels * layer.from_pitch + unit * kSize;
    for (std::uint32_t p = lane; p < layer.pixels; p += lanes) {
      float values[kSize];
      load_unit(image + static_cast<std::size_t>(p) * layer.from_pitch, values);
#pragma unroll
      for (int j = 0; j < kSize; ++j) sums[j] = layer.average ? sums[j] + values[j] : larger(sums[j], values[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kSize; ++j) shared[threadIdx.x][j] = sums[j];
  for (std::uint32_t step = lanes / 2; step > 0; step /= 2) {
    __syncthreads();
    if (lane < step) {
      const float* other = shared[threadIdx.x + step * layer.group];
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        sums[j] = layer.average ? sums[j] + other[j] : larger(sums[j], other[j]);
        shared[threadIdx.x][j] = sums[j];
      }
    }
  }
  if (lane != 0 || unit >= layer.units) return;
  const auto divisor = static_cast<float>(layer.average ? layer.pixels : 1);
  const int valid = layer.channels - static_cast<int>(unit) * kSize;
#pragma unroll
  for (int j = 0; j < kSize; ++j) sums[j] = j < valid ? sums[j] / divisor : 0.0F;
  store_unit(to + static_cast<std::size_t>(n) * layer.to_pitch + unit * kSize, sums);
}

std::optional<std::string> refuse_global(const Problem& problem) {
  if (auto reason = refuse_values(problem)) return reason;
  if (problem.input_shape(0).size() != 4) return "not rank 4";
  return std::nullopt;
}

Implementation build_global(const Problem& problem) {
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const std::int64_t unit = problem.env.unit();
  GlobalLayer layer;
  layer.units = static_cast<std::uint32_t>((y.shape[1] + unit - 1) / unit);
  layer.group = 1;
  while (layer.group < kMaxGroup && layer.group < layer.units) layer.group *= 2;
  layer.groups = (layer.units + layer.group - 1) / layer.group;
  layer.blocks = static_cast<std::uint32_t>(x.shape[0]) * layer.groups;
  layer.pixels = static_cast<std::uint32_t>(x.shape[2] * x.shape[3]);
  layer.channels = static_cast<std::int32_t>(y.shape[1]);
  layer.from_pitch = static_cast<std::uint32_t>(x.pitch);
  layer.to_pitch = static_cast<std::uint32_t>(y.pitch);
  layer.average = std::get<graph::GlobalPool>(problem.node.op).kind == Pool::Kind::average;
  Implementation result;
  result.name = "cuda:global_pool";
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer](const Arguments& arguments) {
      launch_early(&global_pool_kernel<T>, layer.blocks, kThreads, 0, arguments.stream, layer, static_cast<const T*>(arguments.inputs[0]),
                   static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a global pool");
    };
  });
  return result;
}

}  // namespace

Kernel pooling_kernel() { return {"cuda:pool", &refuse_pool, &predict_traffic, &build_pool}; }
Kernel global_pooling_kernel() { return {"cuda:global_pool", &refuse_global, &predict_traffic, &build_global}; }

}  // namespace wins::runtime::cuda
