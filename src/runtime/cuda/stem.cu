#include "stem.hpp"

#include <type_traits>

#include "launch_chain.cuh"
#include "nan_order.cuh"
#include "stem_multiply.cuh"
#include "weights_ahead.cuh"

namespace wins::runtime::cuda {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// The power of two that brings a number of this magnitude (bits of a finite float32) to [2^13, 2^14).
__device__ inline float scale_for(std::uint32_t magnitude) {
  const int exponent = 140 - static_cast<int>(magnitude >> 23);
  return __uint_as_float(static_cast<std::uint32_t>(min(max(exponent, -kStemScaleLimit), kStemScaleLimit) + 127) << 23);
}

/// Zeros where there is nothing to load. No branches, so that many loads are on their way.
__device__ inline float load_if(bool exists, const float* from) {
  float x;
  asm volatile("{.reg .pred p; setp.ne.b32 p, %2, 0; mov.f32 %0, 0f00000000; @p ld.global.nc.f32 %0, [%1];}" : "=f"(x) : "l"(from), "r"(int{exists}));
  return x;
}
__device__ inline float4 load_if(bool exists, const float4* from) {
  float4 x;
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %5, 0; mov.f32 %0, 0f00000000; mov.f32 %1, 0f00000000; mov.f32 %2, 0f00000000; mov.f32 %3, 0f00000000; "
      "@p ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];}"
      : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
      : "l"(from), "r"(int{exists}));
  return x;
}

/// Keeps the compiler from loading before a loop what does not fit the registers there.
template <class T>
__device__ inline const T* again(const T* pointer) {
  asm volatile("" : "+l"(pointer));
  return pointer;
}

/// One block: a rectangle of outputs of one image, for kStemFilters filters.
template <Operand kOperand, int kStride, int kRows, int kSteps, int kTile>
struct Stem {
  static constexpr int kParities = stem_parities(kStride);
  static constexpr int kHeld = kRows == 3 ? kParities : 1;  ///< parities whose filters fit the registers
  static constexpr Operand kFactor = kOperand == Operand::bf16 ? Operand::bf16 : Operand::f16;
  using Factor = typename Format<kFactor>::Storage;
  using Storage = typename Format<kOperand>::Storage;
  static constexpr int kStaged = stem_staged(kStride, sizeof(Storage));
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  static constexpr bool kScaled = kOperand == Operand::f32 || kOperand == Operand::tf32;
  static constexpr int kGroups = kTile / 8;  ///< of eight columns: a thread has two neighbours of each, for two filters
  static constexpr int kBatch = 6;           ///< groups of pixels that a thread has on their way
  using Sums = float[kGroups * 4];
  using Pooled = float[kGroups][2];          ///< [][filter]

  const StemLayer& layer;
  const StemPointers& p;
  const StemMemory& memory;
  std::byte* shared;
  int image, first_row, rows;        // of the outputs
  int first_column, columns;
  int slice;
  int conv_row, conv_column;         // of the convolution, where the block begins; rows may begin before the first
  float unscale = 1;                 // of the block's pixels

  __device__ Stem(const StemLayer& of, const StemPointers& pointers, const StemMemory& cut, std::byte* bytes)
      : layer(of), p(pointers), memory(cut), shared(bytes) {
    slice = static_cast<int>(blockIdx.x);  // of the same pixels, next to each other
    image = static_cast<int>(blockIdx.z);
    int block = static_cast<int>(blockIdx.y);
    const int row_block = layer.by_grid_columns.divide(block);
    first_row = row_block * layer.block_rows;
    rows = min(layer.block_rows, layer.out_height - first_row);
    first_column = block * layer.block_columns;
    columns = min(layer.block_columns, layer.out_width - first_column);
    conv_row = layer.pool ? kPoolStride * first_row - layer.pool_pad_top : first_row;
    conv_column = first_conv_column(layer, first_column);
  }

  // ---- pixels ----------------------------------------------------------------------------------------

  /// Four neighbouring pixels of the patch, by channel; zeros outside the image.
  template <bool kAligned, int kPlanes>
  __device__ void load(int item, bool exists, float4 (&planes)[kPlanes]) const {
    int group = item;
    const int row = layer.by_patch_groups.divide(group);
    const int y = kStride * conv_row - layer.pad_top + row;
    const int x = kStride * conv_column + runtime::cuda::first_column(layer) - patch_lead(layer) + 4 * group;
    exists = exists && static_cast<unsigned>(y) < static_cast<unsigned>(layer.height);
    const int plane = layer.height * layer.width;
    const float* from = p.input + static_cast<std::int64_t>(image) * layer.channels * plane + y * layer.width + x;
    const auto inside = [&](int i) { return exists && static_cast<unsigned>(x + i) < static_cast<unsigned>(layer.width); };
#pragma unroll
    for (int c = 0; c < kPlanes; ++c) {
      const float* at = from + static_cast<std::int64_t>(c) * plane;
      if constexpr (kAligned) {
        planes[c] = load_if(inside(0), reinterpret_cast<const float4*>(at));
      } else {
        const bool has = c < layer.channels;
        planes[c] = {load_if(has && inside(0), at), load_if(has && inside(1), at + 1), load_if(has && inside(2), at + 2), load_if(has && inside(3), at + 3)};
      }
    }
  }

  /// Calls `visit(item, planes)` for this thread's share of the patch.
  template <bool kAligned, int kPlanes, int kBatch, class Visit>
  __device__ void for_each_group(const Visit& visit) const {
    const int items = memory.part_bytes / (4 * kStemPixelBytes);
    for (int first = static_cast<int>(threadIdx.x); first < items; first += kBatch * kStemThreads) {
      float4 planes[kBatch][kPlanes];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) load<kAligned>(first + b * kStemThreads, first + b * kStemThreads < items, planes[b]);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        if (first + b * kStemThreads < items) visit(first + b * kStemThreads, planes[b]);
      }
    }
  }
  template <class Visit>
  __device__ void for_each_group(const Visit& visit) const {
    if (layer.width % 4 == 0 && layer.channels == 3) {
      for_each_group<true, 3, kBatch>(visit);
    } else {
      for_each_group<false, kStemChannels, 2>(visit);
    }
  }

  /// The scale of the block's pixels, from the largest finite one.
  __device__ float find_scale(std::uint32_t* exchange) {
    std::uint32_t largest = 0;
    for_each_group([&](int, const auto& planes) {
      for (const float4& plane : planes) {
        for (const float value : {plane.x, plane.y, plane.z, plane.w}) {
          const std::uint32_t magnitude = __float_as_uint(value) & 0x7FFFFFFFU;
          if (magnitude < 0x7F800000U) largest = max(largest, magnitude);
        }
      }
    });
    largest = __reduce_max_sync(kAllLanes, largest);
    if (threadIdx.x % 32 == 0) exchange[threadIdx.x / 32] = largest;
    __syncthreads();
    const float scale = scale_for(max(max(exchange[0], exchange[1]), max(exchange[2], exchange[3])));
    __syncthreads();
    unscale = __uint_as_float((254U << 23) - __float_as_uint(scale));  // 1 / scale
    return scale;
  }

  /// The four channels of a pixel; for f32 the high or low part.
  static __device__ uint2 pixel(float (&channels)[kStemChannels], int part) {
    union {
      uint2 words;
      Factor values[kStemChannels];
    } result;
#pragma unroll
    for (int c = 0; c < kStemChannels; ++c) {
      result.values[c] = static_cast<Factor>(channels[c]);
      if (part + 1 < kParts) channels[c] -= static_cast<float>(result.values[c]);
    }
    return result.words;
  }

  __device__ void fill_patch() {
    [[maybe_unused]] float scale = 1;
    if constexpr (kScaled) scale = find_scale(reinterpret_cast<std::uint32_t*>(shared));
    for_each_group([&](int item, const auto& planes) {
      constexpr int kPlanes = static_cast<int>(std::extent_v<std::remove_reference_t<decltype(planes)>>);
      float channels[4][kStemChannels] = {};
#pragma unroll
      for (int c = 0; c < kPlanes; ++c) {
        channels[0][c] = planes[c].x * scale;
        channels[1][c] = planes[c].y * scale;
        channels[2][c] = planes[c].z * scale;
        channels[3][c] = planes[c].w * scale;
      }
      // Rows of the patch lie next to each other.
      auto* to = reinterpret_cast<uint4*>(shared + item * (4 * kStemPixelBytes));
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const uint2 a = pixel(channels[0], part), b = pixel(channels[1], part), c = pixel(channels[2], part), d = pixel(channels[3], part);
        to[part * memory.part_bytes / 16] = {a.x, a.y, b.x, b.y};
        to[part * memory.part_bytes / 16 + 1] = {c.x, c.y, d.x, d.y};
      }
    });
  }

  // ---- outputs ---------------------------------------------------------------------------------------

  /// What this thread's two filters need behind their sums: min(max(max(y, slope y), low), high) of y = x factor + bias. Filters
  /// that do not exist give zeros.
  struct Filters {
    float factor[2], bias[2], low[2], high[2];
  };

  __device__ Filters load_filters() const {
    Filters result;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int filter = slice * kStemFilters + own_filter(half);
      const bool exists = filter < layer.filters;
      result.bias[half] = exists && p.bias != nullptr ? p.bias[filter] : 0.0F;
      result.factor[half] = kScaled && exists ? p.scales[filter] : 1.0F;
      result.low[half] = exists ? layer.low : 0.0F;
      result.high[half] = exists ? layer.high : 0.0F;
    }
    return result;
  }

  /// Of the slice.
  static __device__ int own_filter(int half) { return static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * half; }

  __device__ float finish(const Filters& filters, int half, float x) const {
    x = kScaled ? fmaf(x, filters.factor[half], filters.bias[half]) : x + filters.bias[half];
    x = larger(x, x * layer.slope);
    return smaller(larger(x, filters.low[half]), filters.high[half]);
  }

  __device__ void stage(std::byte* stage_at, const Filters& filters, int column, int half, float x) const {
    auto* to = reinterpret_cast<Storage*>(stage_at + column * stem_stage_pitch(sizeof(Storage))) + own_filter(half);
    *to = static_cast<Storage>(finish(filters, half, x));
  }

  /// The block's columns of output row `row`, of which the stage's `skip`-th of a parity is the first: those of this parity where
  /// the stage holds one alone.
  __device__ void write_row(const std::byte* stage_at, int row, int skip, int parity) const {
    constexpr int kElements = 16 / static_cast<int>(sizeof(Storage)), kUnits = kStemFilters / kElements, kStep = kParities / kStaged;
    __syncthreads();
    const int unit = static_cast<int>(threadIdx.x) % kUnits;
    const int channel = slice * kStemFilters + unit * kElements;
    if (channel < layer.filters) {
      const int first = kStep == 1 ? 0 : parity;
      const std::int64_t line = (static_cast<std::int64_t>(image) * layer.out_height + row) * layer.out_width + first_column + first;
      auto* to = static_cast<Storage*>(p.output) + line * layer.output_pitch + channel;
      for (int i = static_cast<int>(threadIdx.x) / kUnits; kStep * i + first < columns; i += kStemThreads / kUnits) {
        const std::byte* from = stage_at + i % kStaged * memory.parity_pitch + (skip + i / kStaged) * stem_stage_pitch(sizeof(Storage)) + unit * 16;
        *reinterpret_cast<uint4*>(to + static_cast<std::int64_t>(kStep * i) * layer.output_pitch) = *reinterpret_cast<const uint4*>(from);
      }
    }
  }

  /// Columns that the convolution does not have lose against all others.
  __device__ void drop_columns(Sums& sums) const {
    if (conv_column + kTile <= layer.conv_width) return;
#pragma unroll
    for (int i = 0; i < kGroups * 4; ++i) {
      if (conv_column + i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2 >= layer.conv_width) sums[i] = -kInfinity;
    }
  }

  /// The largest of each pair of columns and of the one before it, or behind it: that one is a neighbour lane's.
  template <bool kBefore>
  static __device__ void pool_columns(const Sums& sums, Pooled& pooled) {
    const int lane = static_cast<int>(threadIdx.x) % 32, quarter = lane % 4;
    const int source = (lane & ~3) | ((quarter + (kBefore ? 3 : 1)) & 3);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = 4 * g + 2 * half;
        float given;
        if constexpr (kBefore) {
          given = quarter == 3 ? (g > 0 ? sums[max(0, at - 3)] : -kInfinity) : sums[at + 1];
        } else {
          given = quarter == 0 ? (g + 1 < kGroups ? sums[min(at + 4, 4 * kGroups - 1)] : -kInfinity) : sums[at];
        }
        const float neighbour = __shfl_sync(kAllLanes, given, source);
        pooled[g][half] = larger(larger(sums[at], sums[at + 1]), neighbour);
      }
    }
  }

  /// Row `row` of the convolution, one parity after the other.
  __device__ void write_convolution(const Sums& sums, std::byte* stage_at, const Filters& filters, int row, int parity) const {
    if (parity % kStaged == 0) __syncthreads();  // what the stage held has left it
    std::byte* to = stage_at + parity % kStaged * memory.parity_pitch;
    // Those of this warp; with stride 2 a rectangle is mostly whole, and asking costs more (8 % in 16 bits).
    const int end = slice * kStemFilters + own_filter(0) / 16 * 16 < layer.filters ? columns : 0;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      if (kParities == 2 && kParities * 8 * g >= end) break;
#pragma unroll
      for (int i = 0; i < 4; ++i) stage(to, filters, g * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2, i / 2, sums[4 * g + i]);
    }
    if (parity % kStaged == kStaged - 1) write_row(stage_at, row, 0, parity);
  }

  __device__ void write_pooled(const Pooled& pooled, std::byte* stage_at, const Filters& filters, int row) const {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kGroups * 2; ++i) stage(stage_at, filters, i / 2 * 4 + static_cast<int>(threadIdx.x) % 4, i % 2, pooled[i / 2][i % 2]);
    write_row(stage_at, row, first_column - conv_column / kPoolStride, 0);
  }

  /// What becomes of the sums of row `y`.
  struct Pooling {
    Pooled best;  ///< of the rows of the window so far
    int row;      ///< of the outputs, the next to write
  };

  __device__ void pool_row(Sums& sums, int y, Pooling& pooling, std::byte* stage_at, const Filters& filters) const {
    drop_columns(sums);
    Pooled pooled;
    if (layer.pool_pad_left == 1) {
      pool_columns<true>(sums, pooled);
    } else {
      pool_columns<false>(sums, pooled);
    }
#pragma unroll
    for (int i = 0; i < kGroups * 2; ++i) pooling.best[i / 2][i % 2] = larger(pooling.best[i / 2][i % 2], pooled[i / 2][i % 2]);
    // The last row of one window is the first of the next; the image may end before both do.
    const int end = first_row + rows;
    while (pooling.row < end && (y == kPoolStride * pooling.row - layer.pool_pad_top + kPoolSize - 1 || y == layer.conv_height - 1)) {
      write_pooled(pooling.best, stage_at, filters, pooling.row++);
#pragma unroll
      for (int i = 0; i < kGroups * 2; ++i) pooling.best[i / 2][i % 2] = pooled[i / 2][i % 2];
    }
  }

  __device__ void run() {
    wait_for_predecessor();
    fill_patch();
    ask_ahead(p.ahead);
    StemWeights<kRows, kSteps, kParts> weights[kHeld];
#pragma unroll
    for (int parity = 0; parity < kHeld; ++parity) weights[parity].load(p.fragments, slice * kParities + parity);
    Filters filters = load_filters();
    if constexpr (kScaled) {
      filters.factor[0] *= unscale;
      filters.factor[1] *= unscale;
    }
    publish_patch();
    let_successor_start();

    std::byte* stage_at = shared + memory.stage;
    const int pitch = memory.patch_pitch, end = min(layer.conv_height, conv_row + conv_rows(layer, rows));
    const std::uint32_t patch = shared_address(shared) + patch_lead(layer) / kStemStep * 16;
    Pooling pooling;
#pragma unroll
    for (int i = 0; i < kGroups * 2; ++i) pooling.best[i / 2][i % 2] = -kInfinity;
    pooling.row = first_row;
    Sums sums = {};
    for (int y = max(0, conv_row); y < end; ++y) {
#pragma unroll kHeld
      for (int parity = 0; parity < kParities; ++parity) {
        if constexpr (kHeld < kParities) weights[0].load(again(p.fragments), slice * kParities + parity);
        const std::uint32_t row = patch + (y - conv_row) * kStride * pitch + parity * parity_bytes(layer);
        start_row<kFactor>(sums, weights[parity % kHeld], row, pitch, memory.part_bytes);
        wait_for_row(sums);
        if (kStride == 2 && layer.pool) {
          pool_row(sums, y, pooling, stage_at, filters);
        } else {
          write_convolution(sums, stage_at, filters, y, parity);
        }
      }
    }
  }
};

template <Operand kOperand, int kStride, int kRows, int kSteps, int kTile>
__global__ void __launch_bounds__(kStemThreads, stem_blocks(kOperand, kStride, kRows))
    stem(const __grid_constant__ StemLayer layer, const __grid_constant__ StemPointers pointers, const __grid_constant__ StemMemory memory) {
  extern __shared__ __align__(128) std::byte shared[];
  Stem<kOperand, kStride, kRows, kSteps, kTile>(layer, pointers, memory, shared).run();
}

template <Operand kOperand, int kRows, int kSteps, int kTile>
bool launch(const StemLayer& layer, const StemPointers& pointers, cudaStream_t stream) {
  const auto kernel = layer.stride == 1 ? &stem<kOperand, 1, kRows, kSteps, kTile> : &stem<kOperand, 2, kRows, kSteps, kTile>;
  const StemMemory memory(layer, {kRows, kSteps, kTile}, stem_parts(kOperand), storage_bytes(kOperand));
  const dim3 grid(static_cast<unsigned>(layer.slices), static_cast<unsigned>(layer.grid_rows * layer.grid_columns), static_cast<unsigned>(layer.batch));
  return launch_early(kernel, grid, kStemThreads, memory.bytes, stream, layer, pointers, memory);
}

template <Operand kOperand>
bool launch(StemShape shape, const StemLayer& layer, const StemPointers& pointers, cudaStream_t stream) {
  if (shape.rows == 3) {
    return shape.tile == 64 ? launch<kOperand, 3, 1, 64>(layer, pointers, stream) : launch<kOperand, 3, 1, 112>(layer, pointers, stream);
  }
  return shape.tile == 64 ? launch<kOperand, 7, 2, 64>(layer, pointers, stream) : launch<kOperand, 7, 2, 112>(layer, pointers, stream);
}

}  // namespace

bool launch_stem(Operand operand, StemShape shape, const StemLayer& layer, const StemPointers& pointers, cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch<Operand::f16>(shape, layer, pointers, stream);
    case Operand::bf16: return launch<Operand::bf16>(shape, layer, pointers, stream);
    case Operand::tf32: return launch<Operand::tf32>(shape, layer, pointers, stream);
    case Operand::f32: return launch<Operand::f32>(shape, layer, pointers, stream);
  }
  return false;
}

}  // namespace wins::runtime::cuda
