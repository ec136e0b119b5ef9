// Pools over NHWC: a thread for each 16-byte unit of channels.
#include <cmath>
#include <type_traits>

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
  bool include_pad = false;
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

__device__ inline std::uint32_t larger_word(std::uint32_t a, std::uint32_t b, float) { return __float_as_uint(larger(__uint_as_float(a), __uint_as_float(b))); }
__device__ inline std::uint32_t larger_word(std::uint32_t a, std::uint32_t b, __half) {
  const __half2 larger = __hmax2_nan(reinterpret_cast<const __half2&>(a), reinterpret_cast<const __half2&>(b));
  return reinterpret_cast<const std::uint32_t&>(larger);
}
__device__ inline std::uint32_t larger_word(std::uint32_t a, std::uint32_t b, __nv_bfloat16) {
  const __nv_bfloat162 larger = __hmax2_nan(reinterpret_cast<const __nv_bfloat162&>(a), reinterpret_cast<const __nv_bfloat162&>(b));
  return reinterpret_cast<const std::uint32_t&>(larger);
}

/// The largest of a window in each channel of a unit, in the storage type; NaN wins.
template <class T>
struct LargestUnit {
  static constexpr std::uint32_t kNone = std::is_same_v<T, float> ? 0xFF800000U : std::is_same_v<T, __half> ? 0xFC00FC00U : 0xFF80FF80U;  ///< minus infinity
  static constexpr bool kCounts = false;
  uint4 value{kNone, kNone, kNone, kNone};

  __device__ void add(const uint4& x) {
    value = {larger_word(value.x, x.x, T()), larger_word(value.y, x.y, T()), larger_word(value.z, x.z, T()), larger_word(value.w, x.w, T())};
  }
  __device__ void store(T* to, int valid, float) const {
    if (valid >= kUnit<T>) {
      *reinterpret_cast<uint4*>(to) = value;
      return;
    }
    float values[kUnit<T>];
    load_unit(reinterpret_cast<const T*>(&value), values);
#pragma unroll
    for (int j = 0; j < kUnit<T>; ++j) values[j] = j < valid ? values[j] : 0.0F;
    store_unit(to, values);
  }
};

/// The mean of a window, summed in float32 in the order of the reference.
template <class T>
struct MeanUnit {
  static constexpr std::uint32_t kNone = 0;
  static constexpr bool kCounts = true;
  float sums[kUnit<T>] = {};

  __device__ void add(const uint4& x) {
    float values[kUnit<T>];
    load_unit(reinterpret_cast<const T*>(&x), values);
#pragma unroll
    for (int j = 0; j < kUnit<T>; ++j) sums[j] += values[j];
  }
  __device__ void store(T* to, int valid, float count) const {
    float values[kUnit<T>];
#pragma unroll
    for (int j = 0; j < kUnit<T>; ++j) values[j] = j < valid ? sums[j] / count : 0.0F;
    store_unit(to, values);
  }
};

/// All taps of a window of at most kSide x kSide, on their way at once.
template <int kSide, class T, class Unit>
__device__ void add_small_window(const PoolLayer& layer, const T* image, int first_y, int first_x, Unit& sum) {
  const PoolAxis &rows = layer.rows, &columns = layer.columns;
  uint4 units[kSide][kSide];
#pragma unroll
  for (int ky = 0; ky < kSide; ++ky) {
    const int y = first_y + ky * rows.dilation;
    const bool row = ky < rows.kernel && static_cast<unsigned>(y) < static_cast<unsigned>(rows.in);
#pragma unroll
    for (int kx = 0; kx < kSide; ++kx) {
      const int x = first_x + kx * columns.dilation;
      units[ky][kx] = {Unit::kNone, Unit::kNone, Unit::kNone, Unit::kNone};
      if (row && kx < columns.kernel && static_cast<unsigned>(x) < static_cast<unsigned>(columns.in)) {
        units[ky][kx] = *reinterpret_cast<const uint4*>(image + (static_cast<std::size_t>(y) * columns.in + x) * layer.from_pitch);
      }
    }
  }
#pragma unroll
  for (int ky = 0; ky < kSide; ++ky) {
#pragma unroll
    for (int kx = 0; kx < kSide; ++kx) sum.add(units[ky][kx]);
  }
}

template <class T, class Unit>
__device__ void add_window(const PoolLayer& layer, const T* image, int first_y, int first_x, Unit& sum) {
  const PoolAxis &rows = layer.rows, &columns = layer.columns;
  for (int ky = 0; ky < rows.kernel; ++ky) {
    const int y = first_y + ky * rows.dilation;
    if (y < 0 || y >= rows.in) continue;
    for (int kx = 0; kx < columns.kernel; ++kx) {
      const int x = first_x + kx * columns.dilation;
      if (x >= 0 && x < columns.in) sum.add(*reinterpret_cast<const uint4*>(image + (static_cast<std::size_t>(y) * columns.in + x) * layer.from_pitch));
    }
  }
}

/// `kSide`: windows are at most so wide and high; 0: of any size.
template <class T, class Unit, int kSide>
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
    Unit sum;
    if constexpr (kSide > 0) add_small_window<kSide>(layer, image, first_y, first_x, sum);
    else add_window(layer, image, first_y, first_x, sum);
    int count = 1;
    if constexpr (Unit::kCounts) count = max(1, count_taps(rows, first_y, layer.include_pad) * count_taps(columns, first_x, layer.include_pad));
    sum.store(to + static_cast<std::size_t>(pixel) * layer.to_pitch + unit * kSize, layer.channels - static_cast<int>(unit) * kSize, static_cast<float>(count));
  }
}

template <class T>
using PoolFunction = void (*)(PoolLayer, const T*, T*);

template <class T, class Unit>
PoolFunction<T> pool_function(const PoolLayer& layer) {
  const std::int32_t side = std::max(layer.rows.kernel, layer.columns.kernel);
  return side <= 2 ? &pool_kernel<T, Unit, 2> : side == 3 ? &pool_kernel<T, Unit, 3> : &pool_kernel<T, Unit, 0>;
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
  const bool average = op.kind == Pool::Kind::average;
  layer.include_pad = op.count_include_pad;
  Implementation result;
  result.name = "cuda:pool";
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    const PoolFunction<T> kernel = average ? pool_function<T, MeanUnit<T>>(layer) : pool_function<T, LargestUnit<T>>(layer);
    return [layer, kernel](const Arguments& arguments) {
      launch_early(kernel, blocks_for(layer.units), kThreads, 0, arguments.stream, layer, static_cast<const T*>(arguments.inputs[0]),
                   static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a pool");
    };
  });
  return result;
}

// ---- whole images ----------------------------------------------------------------------------------

constexpr int kMaxGroup = 32;  // units that a block takes side by side: 512 bytes of each pixel

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
#pragma unroll 4
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
