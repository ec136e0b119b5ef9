// The kernel of stream_product.hpp; built in a file for each operand. Compute capability 9.0 alone.
#pragma once

#include "bulk_copy.cuh"
#include "launch_chain.cuh"
#include "line_product.cuh"
#include "stream_product.hpp"
#include "weights_ahead.cuh"

namespace wins::runtime::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// What a block's threads share.
struct StreamBlock {
  const ProductLayer& layer;
  const ProductPointers& pointers;
  const LinePointers& lines;
  const StreamMaps& maps;
  const StreamCut& cut;
  std::uint32_t base;  ///< of shared memory
};

/// One thread's: asks for chunks of pixels, tile after tile.
template <Operand kOperand>
class StreamLoader {
 public:
  __device__ explicit StreamLoader(const StreamBlock& block) : block_(block), tile_(static_cast<int>(blockIdx.x)), place_(block.layer, tile_) {}

  __device__ void load_next(std::uint32_t to, std::uint32_t full) {
    if (tile_ >= block_.cut.tiles) return;
    expect_bytes(full, kLineChunkBytes);
    load_line_chunk<kOperand>(block_.layer, block_.lines, block_.maps.input, place_, chunk_, to, full);
    if (++chunk_ < block_.cut.chunks) return;
    chunk_ = 0;
    tile_ += static_cast<int>(gridDim.x);
    place_ = LinePlace(block_.layer, tile_);
  }

 private:
  const StreamBlock& block_;
  int tile_, chunk_ = 0;
  LinePlace place_;
};

template <Operand kOperand, int kFilters>
struct StreamProduct {
  using Lines = LineProduct<kOperand, kFilters>;
  using Storage = typename Lines::Storage;
  using Sums = typename Lines::Sums;
  static constexpr int kElement = sizeof(Storage), kLineChannels = kPixelLine / kElement, kLines = kFilters / kLineChannels;
  static constexpr int kStageBytes = kLines * kLineChunkBytes, kFilterBytes = Lines::kFilterBytes;

  static __device__ std::uint32_t barrier(const StreamBlock& block, int b) { return block.base + block.cut.barriers_at(kElement) + b * 8; }
  static __device__ std::uint32_t ring(const StreamBlock& block, int slot) { return block.base + block.cut.ring_at() + slot * kLineChunkBytes; }
  static __device__ std::uint32_t stage(const StreamBlock& block, int s) { return block.base + block.cut.stages_at() + s * kStageBytes; }
  // Barriers: filters, ring, residuals.
  static __device__ std::uint32_t full(const StreamBlock& block, int slot) { return barrier(block, 1 + slot); }
  static __device__ std::uint32_t residual_here(const StreamBlock& block, int s) { return barrier(block, 1 + block.cut.ring + s); }

  /// One thread's, for each line of a tile: visit(first channel, its place in the stage).
  template <class Visit>
  static __device__ void each_line(const StreamBlock& block, int s, const Visit& visit) {
#pragma unroll
    for (int line = 0; line < kLines; ++line) {
      const int channel = static_cast<int>(blockIdx.y) * kFilters + line * kLineChannels;
      if (channel < block.layer.filters) visit(channel, stage(block, s) + line * kLineChunkBytes);
    }
  }
  static __device__ void load_residual(const StreamBlock& block, int tile, int s) {
    if (tile >= block.cut.tiles) return;
    const int pixel = tile * kLinePixels;
    int lines = 0;
    each_line(block, s, [&](int, std::uint32_t) { ++lines; });
    expect_bytes(residual_here(block, s), lines * kLineChunkBytes);
    each_line(block, s, [&](int channel, std::uint32_t to) { load_rectangle(to, block.maps.residual, channel, pixel, 0, 0, residual_here(block, s)); });
  }
  static __device__ void store(const StreamBlock& block, int tile, int s) {
    const int pixel = tile * kLinePixels;
    each_line(block, s, [&](int channel, std::uint32_t from) { store_rectangle(block.maps.output, channel, pixel, 0, 0, from); });
    commit_stores();
  }

  /// Two neighbouring channels of a pixel, in 16 bits one word of the stage, else two.
  static __device__ void finish_pair(const StreamBlock& block, std::uint32_t at, const float2& bias, bool has_residual, float first, float second) {
    float x[2] = {first + bias.x, second + bias.y};
    if constexpr (kElement == 2) {
      std::uint32_t word = has_residual ? load_shared_word(at) : 0;
      auto* values = reinterpret_cast<Storage*>(&word);
#pragma unroll
      for (int i = 0; i < 2; ++i) values[i] = from_float<Storage>(activate(block.layer, x[i] + (has_residual ? to_float(values[i]) : 0.0F)));
      store_shared_word(at, word);
    } else {
#pragma unroll
      for (int i = 0; i < 2; ++i) x[i] = activate(block.layer, x[i] + (has_residual ? load_shared_float(at + 4 * i) : 0.0F));
      store_shared_pair(at, {__float_as_uint(x[0]), __float_as_uint(x[1])});
    }
  }

  static __device__ void finish(const StreamBlock& block, const Sums& sums, std::uint32_t at, const float* bias, bool has_residual) {
    sums.for_each_pair([&](int pixel, int filter, float first, float second) {
      const int line = filter / kLineChannels, within = filter % kLineChannels * kElement;
      const std::uint32_t place = in_chunk(at + line * kLineChunkBytes, pixel, within / 16) + within % 16;
      finish_pair(block, place, *reinterpret_cast<const float2*>(bias + filter), has_residual, first, second);
    });
  }

  static __device__ void run(const StreamBlock& block) {
    extern __shared__ __align__(1024) std::byte shared[];
    const StreamCut& cut = block.cut;
    float* const bias = reinterpret_cast<float*>(shared + cut.bias_at(kElement));
    const bool leads = threadIdx.x == 0, has_residual = block.pointers.residual != nullptr, never = block.layer.batch == 0;
    if (leads) {
      for (int b = 0; b < 1 + cut.ring + kStreamStages; ++b) init_barrier(barrier(block, b));
      publish_barriers();
      prefetch_map(block.maps.input.own);
      prefetch_map(block.maps.output);
      expect_bytes(barrier(block, 0), cut.chunks * kFilterBytes);
      const std::byte* filters = Lines::filters_of(block.lines, static_cast<int>(blockIdx.y));
      for (int c = 0; c < cut.chunks; ++c) load_run(block.base + c * kFilterBytes, filters + c * kFilterBytes, kFilterBytes, barrier(block, 0));
    }
    if (static_cast<int>(threadIdx.x) < kFilters) {
      const int filter = static_cast<int>(blockIdx.y) * kFilters + static_cast<int>(threadIdx.x);
      bias[threadIdx.x] = block.pointers.bias != nullptr && filter < block.layer.filters ? block.pointers.bias[filter] : 0.0F;
    }
    ask_ahead(block.lines.ahead);
    __syncthreads();
    wait_for_predecessor();
    StreamLoader<kOperand> loader(block);
    const int first = static_cast<int>(blockIdx.x), step = static_cast<int>(gridDim.x);
    if (leads) {
      for (int slot = 0; slot < cut.ring; ++slot) loader.load_next(ring(block, slot), full(block, slot));
      if (has_residual) {
        load_residual(block, first, 0);
        load_residual(block, first + step, 1);
      }
    }
    wait_barrier(barrier(block, 0), 0);
    int slot = 0, parity = 0, s = 0, s_parity = 0;
    for (int tile = first; tile < cut.tiles; tile += step) {
      Sums sums;
      for (int chunk = 0; chunk < cut.chunks; ++chunk) {
        wait_barrier(full(block, slot), static_cast<std::uint32_t>(parity));
        const std::uint32_t pixels = ring(block, slot);
        sums.add_loaded([&](int pixel, int k, std::uint32_t (&a)[1][4]) { Lines::template load_fragment<false>(pixels, pixel, k, 0, a[0]); },
                        block.base + chunk * kFilterBytes, never, [] {});
        // Behind this outputs of the tile before have left their stage.
        if (leads && chunk + 1 == cut.chunks) wait_for_stores();
        __syncthreads();
        if (leads) loader.load_next(pixels, full(block, slot));
        slot = slot + 1 == cut.ring ? 0 : slot + 1;
        parity ^= slot == 0 ? 1 : 0;
      }
      if (leads && has_residual && tile != first) load_residual(block, tile + step, s ^ 1);
      if (tile + step >= cut.tiles) let_successor_start();
      if (has_residual) wait_barrier(residual_here(block, s), static_cast<std::uint32_t>(s_parity));
      finish(block, sums, stage(block, s), bias, has_residual);
      fence_copy_engine();
      __syncthreads();
      if (leads) store(block, tile, s);
      s_parity ^= s;
      s ^= 1;
    }
    if (leads) wait_for_stores();
  }
};

#endif

template <Operand kOperand, int kFilters>
__global__ void __launch_bounds__(kThreads, 2) stream_product(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers,
                                                              const __grid_constant__ LinePointers lines, const __grid_constant__ StreamMaps maps, const __grid_constant__ StreamCut cut) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::byte shared[];
  StreamProduct<kOperand, kFilters>::run({layer, pointers, lines, maps, cut, shared_address(shared)});
#endif
}

template <Operand kOperand>
bool launch_streams(const StreamCut& cut, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const StreamMaps& maps, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(cut.blocks), static_cast<unsigned>(cut.slices));
  const int bytes = cut.bytes(storage_bytes(kOperand));
  return cut.filters == 128 ? launch_early(&stream_product<kOperand, 128>, grid, kThreads, bytes, stream, layer, pointers, lines, maps, cut)
                            : launch_early(&stream_product<kOperand, 64>, grid, kThreads, bytes, stream, layer, pointers, lines, maps, cut);
}

}  // namespace wins::runtime::cuda
