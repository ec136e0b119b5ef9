// The line product by blocks that stay: one tile of pixels and filters after the other, whose next chunks, residual and last outputs
// are on their way meanwhile, all of them through the copy engine.
#pragma once

#include "line_product.cuh"

namespace wins::runtime::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <Operand kOperand, int kFilters>
struct LineStream {
  using Product = LineProduct<kOperand, kFilters>;
  using Storage = typename Product::Storage;
  using Sums = typename Product::Sums;
  using Source = typename Product::Source;
  static constexpr int kStages = stream_stages(kOperand, kFilters);
  /// Outputs lie in boxes of 128 bytes of filters of all pixels, swizzled as the copy engine does.
  static constexpr int kBytes = static_cast<int>(sizeof(Storage)), kBoxFilters = kPixelLine / kBytes, kBoxes = kFilters / kBoxFilters, kBoxBytes = kLinePixels * kPixelLine;
  static constexpr int kOutput = kStages * Product::kStageBytes, kBarriers = kOutput + kBoxes * kBoxBytes;
  static_assert(kBarriers + (kStages + 1) * 8 == stream_shared_bytes(kOperand, kFilters));

  const ProductLayer& layer;
  const ProductPointers& pointers;
  const LinePointers& lines;
  const LineMaps& maps;
  std::uint32_t base;
  int tiles;

  /// Which chunk thread 0 asks for next, and where it goes; in shared memory, where it takes no registers of the others.
  struct Next {
    int tile, chunk, stage;
  };

  __device__ std::uint32_t barrier(int stage) const { return base + kBarriers + stage * 8; }
  __device__ std::uint32_t residual_barrier() const { return barrier(kStages); }

  __device__ Source source_of(int tile) const {
    int filter_tile = tile;
    const int pixel_tile = lines.by_filter_tiles.divide(filter_tile);
    return {layer, lines, maps, base, pixel_tile, filter_tile};
  }

  __device__ void load(Next& next) const {
    if (next.tile >= tiles) return;
    source_of(next.tile).load(next.chunk, base + next.stage * Product::kStageBytes, barrier(next.stage));
    next.stage = next.stage + 1 == kStages ? 0 : next.stage + 1;
    if (++next.chunk < lines.chunks) return;
    next.chunk = 0;
    next.tile += static_cast<int>(gridDim.x);
  }

  __device__ void load_residual(int tile) const {
    const Source source = source_of(tile);
    expect_bytes(residual_barrier(), kBoxes * kBoxBytes);
    for (int box = 0; box < kBoxes; ++box) {
      load_rectangle(base + kOutput + box * kBoxBytes, maps.residual, source.filter + box * kBoxFilters, source.pixel, 0, 0, residual_barrier());
    }
  }

  __device__ void store_output(int tile) const {
    const Source source = source_of(tile);
    for (int box = 0; box < kBoxes; ++box) {
      if (source.filter + box * kBoxFilters < layer.filters) {
        store_rectangle(maps.output, source.filter + box * kBoxFilters, source.pixel, 0, 0, base + kOutput + box * kBoxBytes);
      }
    }
    commit_stores();
  }

  /// Two neighbouring filters of a pixel; `out` holds the residual where there is one.
  __device__ void finish(std::byte* out, int filter_tile, int pixel, int filter, float first, float second) const {
    const int byte = filter * kBytes, in_line = byte % kPixelLine;
    auto* values = reinterpret_cast<Storage*>(out + byte / kPixelLine * kBoxBytes + pixel * kPixelLine + ((in_line / 16 ^ pixel % 8) << 4) + in_line % 16);
    const int all = filter_tile * kFilters + filter;
    float x[2] = {first, second};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (pointers.residual != nullptr) x[i] += to_float(values[i]);
      values[i] = from_float<Storage>(all + i < layer.filters ? activate(layer, x[i]) : 0.0F);
    }
  }

  /// The chunks of one tile, while thread 0 asks for those of later ones.
  template <bool kAffine>
  __device__ void multiply(int tile, Next& next, int& count, Sums& sums) const {
    for (int chunk = 0; chunk < lines.chunks; ++chunk, ++count) {
      const int stage = count % kStages;
      wait_barrier(barrier(stage), static_cast<std::uint32_t>(count / kStages & 1));
      const std::uint32_t at = base + stage * Product::kStageBytes;
      sums.add_loaded(
          [&](int first_pixel, int step, std::uint32_t (&a)[1][4]) { Product::template load_fragment<kAffine>(at, first_pixel, step, layer.input_low, a[0]); },
          at + Product::kPixelBytes, layer.batch == 0, [] {});
      // The outputs of the tile before have left, so that all threads may write where they lay.
      if (threadIdx.x == 0 && chunk == 0) wait_for_stores();
      __syncthreads();
      if (threadIdx.x == 0) {
        load(next);
        if (chunk == 0 && pointers.residual != nullptr) load_residual(tile);
      }
    }
  }

  __device__ void run(std::byte* shared) const {
    if (threadIdx.x == 0) {
      for (int s = 0; s <= kStages; ++s) init_barrier(barrier(s));
      publish_barriers();
      prefetch_map(maps.own);
      prefetch_map(maps.output);
    }
    __syncthreads();
    wait_for_predecessor();
    const int step = static_cast<int>(gridDim.x);
    __shared__ Next next;
    if (threadIdx.x == 0) {
      next = {static_cast<int>(blockIdx.x), 0, 0};
      for (int s = 0; s < kStages; ++s) load(next);
    }
    int count = 0;  // of chunks
    std::uint32_t residual_parity = 0;
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += step) {
      int filter_tile = tile;
      lines.by_filter_tiles.divide(filter_tile);
      Sums sums;
      if (pointers.bias != nullptr) {
        sums.begin([&](int filter) { return filter_tile * kFilters + filter < layer.filters ? pointers.bias[filter_tile * kFilters + filter] : 0.0F; });
      }
      if (lines.affine != nullptr) multiply<true>(tile, next, count, sums);
      else multiply<false>(tile, next, count, sums);
      if (tile + step >= tiles) let_successor_start();
      if (pointers.residual != nullptr) wait_barrier(residual_barrier(), residual_parity);
      residual_parity ^= 1U;
      sums.for_each_pair([&](int pixel, int filter, float first, float second) { finish(shared + kOutput, filter_tile, pixel, filter, first, second); });
      fence_copy_engine();
      __syncthreads();
      if (threadIdx.x == 0) store_output(tile);
    }
    if (threadIdx.x == 0) wait_for_stores();
  }
};

#endif

template <Operand kOperand, int kFilters>
__global__ void __launch_bounds__(kThreads, stream_blocks(kOperand, kFilters))
    line_stream(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers, const __grid_constant__ LinePointers lines,
                const __grid_constant__ LineMaps maps, int tiles) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) std::byte shared[];
  const LineStream<kOperand, kFilters> stream{layer, pointers, lines, maps, shared_address(shared), tiles};
  stream.run(shared);
#endif
}

/// `processors`: of the device.
template <Operand kOperand, int kFilters>
bool launch_stream_tile(const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, int processors, cudaStream_t stream) {
  const int tiles = line_tiles(layer, kFilters), at_once = processors * stream_blocks(kOperand, kFilters);
  const int turns = (tiles + at_once - 1) / at_once, blocks = (tiles + turns - 1) / turns;
  return launch_early(&line_stream<kOperand, kFilters>, dim3(static_cast<unsigned>(blocks)), kThreads, stream_shared_bytes(kOperand, kFilters), stream, layer, pointers, lines,
                      maps, tiles);
}

template <Operand kOperand>
bool launch_streams(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, int processors, cudaStream_t stream) {
  return filters == 128 ? launch_stream_tile<kOperand, 128>(layer, pointers, lines, maps, processors, stream)
                        : launch_stream_tile<kOperand, 64>(layer, pointers, lines, maps, processors, stream);
}

}  // namespace wins::runtime::cuda
