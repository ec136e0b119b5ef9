// The implicit product's kernel; built in a file for each operand.
#pragma once

#include "implicit_product.hpp"
#include "launch_chain.cuh"
#include "product_groups.cuh"
#include "product_output.cuh"
#include "product_warps.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, ProductTile kTile>
struct Product {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  using Stage = ProductStage<kOperand, kTile>;
  static constexpr int kPixels = Stage::kPixels, kFilters = Stage::kFilters, kBlockItems = Stage::kItems, kItemWords = Stage::kPartBytes / 16;
  static constexpr int kUnitBytes = Stage::kUnitBytes, kPixelBytes = Stage::kPixelBytes, kStageBytes = Stage::kBytes;
  static constexpr int kStages = product_stages(kTile, kOperand);
  static constexpr int kApart = kThreads / kChunkUnits;   ///< pixels between those that a thread copies a unit of
  static constexpr int kRounds = kPixels / kApart;
  static constexpr int kTilePitch = kFilters + 8;  ///< floats; 8 more, so that the rows of an accumulator lie in different banks
  static constexpr int kSharedBytes = product_shared_bytes(kTile, kOperand);
  static_assert(kSharedBytes == kStages * kStageBytes && kSharedBytes >= kPixels * kTilePitch * 4);

  /// An output pixel as this thread copies it: where its window begins, which may lie outside.
  struct Window {
    std::int16_t y, x;
    int pixel;
  };

  static __device__ void find_windows(const ProductLayer& layer, Window (&windows)[kRounds]) {
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      int x = static_cast<int>(blockIdx.x) * kPixels + r * kApart + static_cast<int>(threadIdx.x) / kChunkUnits;
      const int image = layer.by_out_image.divide(x);
      const int y = layer.by_out_width.divide(x) * layer.stride_y - layer.pad_top;
      x = x * layer.stride_x - layer.pad_left;
      windows[r].y = static_cast<std::int16_t>(image < layer.batch ? y : -2 * kMaxProductExtent);
      windows[r].x = static_cast<std::int16_t>(x);
      windows[r].pixel = (image * layer.height + y) * layer.width + x;
    }
  }

  /// One chunk of one kernel row, of the pixels. Through the first-level cache: columns of a kernel read the same pixels, and
  /// neighbours on a multiprocessor the same filters.
  static __device__ void copy_pixels(const ProductLayer& layer, const void* input, const Window (&windows)[kRounds], int kernel_row, int chunk,
                                     std::uint32_t stage) {
    int unit = chunk * kChunkUnits + static_cast<int>(threadIdx.x) % kChunkUnits;
    const bool exists = unit < layer.row_units;
    const int column = layer.by_units.divide(unit) * layer.dilation_x, row = kernel_row * layer.dilation_y;
    const int within = row * layer.width + column;
    const auto* from_unit = static_cast<const Storage*>(input) + unit * F::kChannels;
    const std::uint32_t to = stage + threadIdx.x % kChunkUnits * kUnitBytes + threadIdx.x / kChunkUnits * 16;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const bool inside = exists && static_cast<unsigned>(windows[r].y + row) < static_cast<unsigned>(layer.height) &&
                          static_cast<unsigned>(windows[r].x + column) < static_cast<unsigned>(layer.width);
      const std::int64_t pixel = inside ? windows[r].pixel + within : 0;
      copy_async_cached(to + r * kApart * 16, inside ? from_unit + pixel * layer.input_pitch : input, inside ? 16 : 0);
    }
  }

  /// Calls `visit(item, word of 16 bytes in it, address)` for the filters that this thread copies.
  template <class Visit>
  static __device__ void for_each_filter(std::uint32_t stage, const Visit& visit) {
    constexpr int kWords = kBlockItems * kItemWords;
#pragma unroll
    for (int first = 0; first < kWords; first += kThreads) {
      const int word = first + static_cast<int>(threadIdx.x), item = word / kItemWords;
      if (kWords % kThreads == 0 || word < kWords) visit(item, word % kItemWords, stage + kPixelBytes + item * Stage::kItemBytes + word % kItemWords * 16);
    }
  }

  /// The same chunk of the filters, from the block's first on.
  static __device__ void copy_filters(const uint4* filters, std::size_t item_words, int items, std::uint32_t stage) {
    for_each_filter(stage, [=](int item, int word, std::uint32_t to) {
      const bool exists = item < items;
      copy_async_cached(to, exists ? filters + item * item_words + word : filters, exists ? 16 : 0);
    });
  }

  /// Scale, shift and lower bound of the units that this thread copied itself, so that no barrier is needed.
  static __device__ void apply_affine(const ProductLayer& layer, const float* affine, int chunk, std::uint32_t stage) {
    const int channels = layer.row_chunks * kChunkUnits * F::kChannels;
    const float* from = affine + (chunk * kChunkUnits + static_cast<int>(threadIdx.x) % kChunkUnits) * F::kChannels;
    float scale[F::kChannels], shift[F::kChannels];
#pragma unroll
    for (int i = 0; i < F::kChannels; i += 4) {
      reinterpret_cast<float4&>(scale[i]) = *reinterpret_cast<const float4*>(from + i);
      reinterpret_cast<float4&>(shift[i]) = *reinterpret_cast<const float4*>(from + channels + i);
    }
    const std::uint32_t at = stage + threadIdx.x % kChunkUnits * kUnitBytes + threadIdx.x / kChunkUnits * 16;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const uint4 words = load_shared(at + r * kApart * 16);
      float x[F::kChannels];
      load_unit(reinterpret_cast<const Storage*>(&words), x);
#pragma unroll
      for (int i = 0; i < F::kChannels; ++i) {
        x[i] = fmaf(x[i], scale[i], shift[i]);
        x[i] = x[i] < layer.input_low ? layer.input_low : x[i];
      }
      uint4 result;
      store_unit(reinterpret_cast<Storage*>(&result), x);
      store_shared(at + r * kApart * 16, result);
    }
  }

  /// The block's part of the sums, to shared memory as [pixel][filter].
  template <class Sums>
  static __device__ void multiply(const ProductLayer& layer, const ProductPointers& p, float* tile) {
    const std::uint32_t base = shared_address(tile);
    Window windows[kRounds];
    find_windows(layer, windows);
    const int all = layer.kernel_rows * layer.row_chunks;
    const int begin = static_cast<int>(static_cast<std::int64_t>(all) * blockIdx.z / gridDim.z);
    const int end = static_cast<int>(static_cast<std::int64_t>(all) * (blockIdx.z + 1) / gridDim.z);

    const int first_item = static_cast<int>(blockIdx.y) * kBlockItems, items = layer.items - first_item;
    const std::size_t item_words = static_cast<std::size_t>(all) * kItemWords;
    const uint4* filters = reinterpret_cast<const uint4*>(p.filters) + first_item * item_words + static_cast<std::size_t>(begin) * kItemWords;
    int row = begin / layer.row_chunks, column = begin % layer.row_chunks, left = end - begin;  // of the next chunk to copy
    const auto copy_next = [&](int stage) {
      if (left > 0) {
        copy_pixels(layer, p.input, windows, row, column, base + stage * kStageBytes);
        copy_filters(filters, item_words, items, base + stage * kStageBytes);
        filters += kItemWords;
        --left;
      }
      commit_copies();
      if (++column == layer.row_chunks) {
        column = 0;
        ++row;
      }
    };
    for (int stage = 0; stage < kStages - 1; ++stage) copy_next(stage);

    // What this thread does to what it copied, before the barrier behind which all read it.
    const auto prepare = [&](int chunk, int stage) {
      wait_for_group<kStages - 2>();
      if (chunk >= end) return;
      if (p.input_affine != nullptr) apply_affine(layer, p.input_affine, chunk, base + stage * kStageBytes);
      if constexpr (kOperand == Operand::f32) for_each_filter(base + stage * kStageBytes, [](int, int, std::uint32_t at) { Stage::split_filters(at); });
      Sums::publish();
    };
    Sums sums;
    int stage = 0;
    // The splitting of filters takes long enough to hide it behind the products of the chunk before; elsewhere its registers cost more.
    constexpr bool kAhead = kOperand == Operand::f32;
    if constexpr (kAhead) prepare(begin, 0);
    for (int chunk = begin; chunk < end; ++chunk) {
      const int next = stage + 1 == kStages ? 0 : stage + 1;
      if constexpr (!kAhead) prepare(chunk, stage);
      __syncthreads();
      sums.add(base + stage * kStageBytes, layer.batch == 0, [&] {
        copy_next(stage == 0 ? kStages - 1 : stage - 1);
        if constexpr (kAhead) prepare(chunk + 1, next);
      });
      stage = next;
    }
    __syncthreads();
    sums.for_each_pair([tile](int pixel, int filter, float first, float second) {
      *reinterpret_cast<float2*>(tile + pixel * kTilePitch + filter) = {first, second};
    });
    __syncthreads();
  }

  /// Leaves this block's part for the others; whether it is the last of its tile.
  static __device__ bool is_last(const ProductPointers& p, const float* tile, float* parts) {
    float* mine = parts + static_cast<std::size_t>(blockIdx.z) * kPixels * kFilters;
    for (int i = static_cast<int>(threadIdx.x) * 4; i < kPixels * kFilters; i += kThreads * 4) {
      *reinterpret_cast<float4*>(mine + i) = *reinterpret_cast<const float4*>(tile + i / kFilters * kTilePitch + i % kFilters);
    }
    __threadfence();
    __syncthreads();
    __shared__ bool last;
    if (threadIdx.x == 0) {
      std::uint32_t& finished = p.finished[blockIdx.y * gridDim.x + blockIdx.x];
      last = atomicAdd(&finished, 1U) == gridDim.z - 1;
      if (last) finished = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
  }

  template <class Sums>
  static __device__ void run(const ProductLayer& layer, const ProductPointers& p) {
    extern __shared__ __align__(128) std::byte shared[];
    float* tile = reinterpret_cast<float*>(shared);
    wait_for_predecessor();
    multiply<Sums>(layer, p, tile);
    let_successor_start();
    const int splits = static_cast<int>(gridDim.z);
    float* parts = p.partial + static_cast<std::size_t>(blockIdx.y * gridDim.x + blockIdx.x) * gridDim.z * kPixels * kFilters;
    if (splits > 1 && !is_last(p, tile, parts)) return;

    ProductOutput<kOperand, kPixels, kFilters>::write(layer, p, blockIdx.x, blockIdx.y, splits > 1 ? parts : tile, splits > 1 ? kFilters : kTilePitch, splits);
  }
};

template <Operand kOperand, ProductTile kTile>
__global__ void __launch_bounds__(kThreads, resident_products(kTile, kOperand))
    implicit_product(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  Product<kOperand, kTile>::template run<GroupSums<kOperand, ProductStage<kOperand, kTile>>>(layer, pointers);
#else
  Product<kOperand, kTile>::template run<WarpSums<kOperand, ProductStage<kOperand, kTile>>>(layer, pointers);
#endif
}

template <Operand kOperand, ProductTile kTile>
bool launch_tile(const ProductCut& cut, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream) {
  const auto kernel = &implicit_product<kOperand, kTile>;
  constexpr int kBytes = Product<kOperand, kTile>::kSharedBytes;
  const dim3 grid(static_cast<unsigned>(cut.pixel_tiles), static_cast<unsigned>(cut.filter_tiles), static_cast<unsigned>(cut.splits));
  return launch_early(kernel, grid, kThreads, kBytes, stream, layer, pointers);
}

template <Operand kOperand>
bool launch_product(const ProductCut& cut, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream) {
  switch (cut.tile) {
    case ProductTile::wide: return launch_tile<kOperand, ProductTile::wide>(cut, layer, pointers, stream);
    case ProductTile::tall: return launch_tile<kOperand, ProductTile::tall>(cut, layer, pointers, stream);
    case ProductTile::narrow: return launch_tile<kOperand, ProductTile::narrow>(cut, layer, pointers, stream);
    case ProductTile::small: return launch_tile<kOperand, ProductTile::small>(cut, layer, pointers, stream);
  }
  return false;
}

}  // namespace wins::runtime::cuda
