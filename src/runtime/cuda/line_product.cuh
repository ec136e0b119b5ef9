// The kernel of line_product.hpp; built in a file for each operand. Compute capability 9.0 alone.
#pragma once

#include "bulk_copy.cuh"
#include "launch_chain.cuh"
#include "line_product.hpp"
#include "product_groups.cuh"
#include "product_output.cuh"
#include "weights_ahead.cuh"

namespace wins::runtime::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// Where a tile of kLinePixels begins: its first pixel, and that one's window as the copy engine counts.
struct LinePlace {
  int pixel = 0, x = 0, y = 0, image = 0;

  LinePlace() = default;
  __device__ LinePlace(const ProductLayer& layer, int pixel_tile) : pixel(pixel_tile * kLinePixels), x(pixel) {
    if (!has_windows(layer)) return;
    image = layer.by_out_image.divide(x);
    y = layer.by_out_width.divide(x) * layer.stride_y - layer.pad_top;
    x = x * layer.stride_x - layer.pad_left;
  }
};

/// One thread's: asks for a chunk of the tile's pixels, of the second input's behind the layer's own.
template <Operand kOperand>
__device__ void load_line_chunk(const ProductLayer& layer, const LinePointers& lines, const LineMaps& maps, const LinePlace& at, int chunk, std::uint32_t to, std::uint32_t full) {
  constexpr int kChannels = kChunkUnits * Format<kOperand>::kChannels;
  const bool own = chunk < lines.own_chunks;
  if (own && has_windows(layer)) {
    int of_tap = chunk, column = lines.by_tap_chunks.divide(of_tap);
    const int row = lines.by_kernel_columns.divide(column);
    load_pixels(to, maps.own, of_tap * kChannels, at.x, at.y, at.image, full, column * layer.dilation_x, row * layer.dilation_y);
  } else {
    const int channel = (own ? chunk : chunk - lines.own_chunks) * kChannels;
    load_rectangle(to, own ? maps.own : maps.added, channel, at.pixel, 0, 0, full);
  }
}

/// Where 16 bytes of a pixel lie in a chunk, as the copy engine swizzles lines of 128 bytes.
__device__ inline std::uint32_t in_chunk(std::uint32_t chunk, std::uint32_t pixel, std::uint32_t unit) { return chunk + pixel * kPixelLine + ((unit ^ pixel % 8) << 4); }

template <Operand kOperand, int kFilters>
struct LineProduct {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  static constexpr ProductTile kTile = kFilters == 128 ? ProductTile::wide : ProductTile::tall;
  using Output = ProductOutput<kOperand, kLinePixels, kFilters>;
  using Sums = GroupSums<kOperand, ProductStage<kOperand, kTile>>;
  static constexpr int kTilePitch = kFilters + 8;  ///< floats; 8 more, so that the rows of an accumulator lie in different banks
  static constexpr int kPixelBytes = kLineChunkBytes, kFilterBytes = kFilters * kChunkUnits * 16, kStageBytes = line_stage_bytes(kFilters);
  static constexpr int kAffineBytes = affine_floats(kOperand) * 4;
  static_assert(kStageBytes % 1024 == 0 && kAffineBytes <= 1024 && kPixelBytes % 1024 == 0);

  static __device__ const std::byte* filters_of(const LinePointers& p, int filter_tile) {
    return reinterpret_cast<const std::byte*>(p.filters) + static_cast<std::int64_t>(filter_tile) * p.chunks * kFilterBytes;
  }

  /// Where a block's chunks come from and go to.
  struct Source {
    const ProductLayer& layer;
    const LinePointers& lines;
    const LineMaps& maps;
    std::uint32_t base;
    const std::byte* filters;
    LinePlace place;

    __device__ Source(const ProductLayer& l, const LinePointers& p, const LineMaps& m, std::uint32_t shared, int pixel_tile, int filter_tile)
        : layer(l), lines(p), maps(m), base(shared),
          filters(filters_of(p, filter_tile)), place(l, pixel_tile) {}
    __device__ std::uint32_t stage(int s) const { return base + s * kStageBytes; }
    __device__ std::uint32_t barrier(int s) const { return base + kLineStages * kStageBytes + s * 8; }

    /// One thread's.
    __device__ void load(int chunk, int s) const {
      const std::uint32_t to = stage(s), full = barrier(s);
      expect_bytes(full, kPixelBytes + kFilterBytes + (lines.affine != nullptr ? kAffineBytes : 0));
      load_line_chunk<kOperand>(layer, lines, maps, place, chunk, to, full);
      load_run(to + kPixelBytes, filters + static_cast<std::int64_t>(chunk) * kFilterBytes, kFilterBytes, full);
      if (lines.affine != nullptr) load_run(to + kPixelBytes + kFilterBytes, lines.affine + chunk * (kAffineBytes / 4), kAffineBytes, full);
    }
  };

  /// Scale, shift and lower bound of two words of one unit. NaN stays NaN.
  static __device__ void apply(const float (&scale)[2], const float (&shift)[2], float low, std::uint32_t& word) {
    constexpr int kCount = sizeof(std::uint32_t) / sizeof(Storage);
    auto* values = reinterpret_cast<Storage*>(&word);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float x = fmaf(to_float(values[i]), scale[i], shift[i]);
      values[i] = from_float<Storage>(x < low ? low : x);
    }
  }

  /// A fragment of 16 pixels and the two units of a step, behind the scale and shift at `affine` where `kAffine`.
  template <bool kAffine>
  static __device__ void load_fragment(std::uint32_t stage, int first_pixel, int step, float low, std::uint32_t (&a)[4]) {
    const std::uint32_t lane = threadIdx.x % 32, pixel = first_pixel + lane % 16, unit = 2 * step + lane / 16;
    load_matrices(in_chunk(stage, pixel, unit), a);
    if constexpr (kAffine) {
      const std::uint32_t at = stage + kPixelBytes + kFilterBytes + step * (kAffineBytes / kLineSteps) + lane % 4 * 16;
      const uint4 one = load_shared(at);
      const auto number = [](std::uint32_t word) { return __uint_as_float(word); };
      float scale[2][2], shift[2][2];  // of a unit
      if constexpr (sizeof(Storage) == 2) {
        const uint4 two = load_shared(at + 64);
        scale[0][0] = number(one.x), scale[0][1] = number(one.y), scale[1][0] = number(one.z), scale[1][1] = number(one.w);
        shift[0][0] = number(two.x), shift[0][1] = number(two.y), shift[1][0] = number(two.z), shift[1][1] = number(two.w);
      } else {
        scale[0][0] = number(one.x), scale[1][0] = number(one.y), shift[0][0] = number(one.z), shift[1][0] = number(one.w);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) apply(scale[i / 2], shift[i / 2], low, a[i]);
    }
    if constexpr (kOperand == Operand::tf32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = FloatFormat::near_tf32(a[i]);
    }
  }

  template <bool kAffine>
  static __device__ void multiply(const Source& from, Sums& sums) {
    const int chunks = from.lines.chunks;
    const bool never = from.layer.batch == 0;
    int stage = 0, parity = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      wait_barrier(from.barrier(stage), static_cast<std::uint32_t>(parity));
      const std::uint32_t at = from.stage(stage);
      sums.add_loaded([&](int first_pixel, int step, std::uint32_t (&a)[1][4]) { load_fragment<kAffine>(at, first_pixel, step, from.layer.input_low, a[0]); },
                      at + kPixelBytes, never, [] {});
      __syncthreads();
      if (threadIdx.x == 0 && chunk + kLineStages < chunks) from.load(chunk + kLineStages, stage);
      stage = stage + 1 == kLineStages ? 0 : stage + 1;
      parity ^= stage == 0 ? 1 : 0;
    }
  }

  static __device__ void run(const ProductLayer& layer, const ProductPointers& p, const LinePointers& lines, const LineMaps& maps) {
    extern __shared__ __align__(1024) std::byte shared[];
    float* tile = reinterpret_cast<float*>(shared);
    // Tiles of the same pixels next to each other, so that these are read once from memory.
    int filter_tile = static_cast<int>(blockIdx.x);
    const int pixel_tile = lines.by_filter_tiles.divide(filter_tile);
    const Source from(layer, lines, maps, shared_address(shared), pixel_tile, filter_tile);
    if (threadIdx.x == 0) {
      for (int s = 0; s < kLineStages; ++s) init_barrier(from.barrier(s));
      publish_barriers();
      prefetch_map(maps.own);
      if (lines.added != nullptr) prefetch_map(maps.added);
    }
    __syncthreads();
    ask_ahead(lines.ahead);
    wait_for_predecessor();
    if (threadIdx.x == 0) {
      for (int s = 0; s < kLineStages && s < lines.chunks; ++s) from.load(s, s);
    }
    if (p.residual != nullptr && layer.part == 0) Output::fetch_residual(layer, p, pixel_tile, filter_tile);
    Sums sums;
    if (lines.affine != nullptr) multiply<true>(from, sums);
    else multiply<false>(from, sums);
    let_successor_start();
    sums.for_each_pair([tile](int pixel, int filter, float first, float second) {
      *reinterpret_cast<float2*>(tile + pixel * kTilePitch + filter) = {first, second};
    });
    __syncthreads();
    Output::write(layer, p, pixel_tile, filter_tile, tile, kTilePitch, 1);
  }
};

#endif

template <Operand kOperand, int kFilters>
__global__ void __launch_bounds__(kThreads, 2) line_product(const __grid_constant__ ProductLayer layer, const __grid_constant__ ProductPointers pointers,
                                                            const __grid_constant__ LinePointers lines, const __grid_constant__ LineMaps maps) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  LineProduct<kOperand, kFilters>::run(layer, pointers, lines, maps);
#endif
}

template <Operand kOperand, int kFilters>
bool launch_line_tile(const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, cudaStream_t stream) {
  return launch_early(&line_product<kOperand, kFilters>, dim3(static_cast<unsigned>(line_tiles(layer, kFilters))), kThreads, line_shared_bytes(kFilters), stream, layer, pointers, lines, maps);
}

template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, cudaStream_t stream) {
  return filters == 128 ? launch_line_tile<kOperand, 128>(layer, pointers, lines, maps, stream)
                        : launch_line_tile<kOperand, 64>(layer, pointers, lines, maps, stream);
}

}  // namespace wins::runtime::cuda
