// The kernel of winograd_fused.hpp.
#pragma once

#include "tensor_core.cuh"
#include "winograd_fused.hpp"
#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, int kStride, int kTiles, int kItems>
struct FusedKernel {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  using T = Tile<kStride>;
  static constexpr int kSize = T::kSize;
  static constexpr int kPositions = kSize * kSize;
  static constexpr int kThreads = kTiles * kChunkUnits;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kBlocks = kTiles / 16;  ///< of rows of the product
  static constexpr int kUnit = unit_bytes(kTiles);
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  static constexpr int kUnitChannels = F::kChannels;
  static constexpr int kGroupWords = kGroupChannels * static_cast<int>(sizeof(Storage)) / 16;
  static constexpr int kGroupWordsOf = (kPositions + 3) / 4 * 4;
  static constexpr int kRounds = copy_rounds(kStride);
  static constexpr std::uint32_t kOutside = 0xFFFFFFFFU;

  /// The same in all lanes, as the compiler sees it too.
  static __device__ int warp_of_thread() { return __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x / 32), 0); }

  /// The first tile of a block.
  struct Corner {
    int image, row, column;
  };
  static __device__ Corner corner(const FusedLayer& layer) {
    int column = static_cast<int>(blockIdx.x);
    int row = layer.by_grid_columns.divide(column);
    const int image = layer.by_grid_rows.divide(row);
    return {image * layer.block_images, row * layer.block_rows, column * layer.block_columns};
  }

  /// Bytes from the input to each pixel of the patch that this thread copies, kOutside where the image ends.
  static __device__ void find_pixels(const FusedLayer& layer, const Corner& at, std::uint32_t (&offsets)[kRounds]) {
    const int pixels = patch_pixels(layer, kStride), unit = threadIdx.x % kChunkUnits;
    const int top = at.row * T::kStep - layer.pad_top, left = at.column * T::kStep - layer.pad_left;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (r * kTiles >= pixels) break;
      int x = r * kTiles + static_cast<int>(threadIdx.x) / kChunkUnits;
      offsets[r] = kOutside;
      int y = layer.by_patch_columns.divide(x);
      const int image = at.image + layer.by_patch_rows.divide(y);
      x += left;
      y += top;
      if (image >= layer.batch || static_cast<unsigned>(y) >= static_cast<unsigned>(layer.height) ||
          static_cast<unsigned>(x) >= static_cast<unsigned>(layer.width)) {
        continue;
      }
      const int source = (image * layer.height + y) * layer.width + x;
      offsets[r] = (source * layer.input_pitch + unit * kUnitChannels) * static_cast<std::uint32_t>(sizeof(Storage));
    }
  }

  static __device__ void copy_pixels(const FusedLayer& layer, const void* input, const std::uint32_t (&offsets)[kRounds], int chunk,
                                     std::uint32_t patch) {
    const int units = (layer.channels + kUnitChannels - 1) / kUnitChannels, pixels = patch_pixels(layer, kStride);
    const bool channels_left = chunk * kChunkUnits + static_cast<int>(threadIdx.x) % kChunkUnits < units;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (r * kTiles >= pixels) break;
      if (r * kTiles + static_cast<int>(threadIdx.x) / kChunkUnits >= pixels) continue;
      const bool inside = channels_left && offsets[r] != kOutside;
      copy_async(patch + r * kTiles * kPixelBytes + threadIdx.x * 16,
                 static_cast<const std::byte*>(input) + (inside ? offsets[r] + chunk * kPixelBytes : 0), inside ? 16 : 0);
    }
    commit_copies();
  }

  /// V of one tile and unit.
  static __device__ void transform(std::uint32_t patch, int row_bytes, std::uint32_t alive, std::uint32_t V) {
    uint4 d[kSize][kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) d[i][j] = load_shared(patch + i * row_bytes + j * kPixelBytes);
    }
    T::template input<F>(d);
#pragma unroll
    for (int xi = 0; xi < kPositions; ++xi) {
      if ((alive >> xi & 1U) != 0) {
        store_shared(V, d[xi / kSize][xi % kSize]);
        V += kChunkUnits * kUnit;
      }
    }
  }

  static __device__ void multiply(float (&sum)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[kParts][2]) {
    if constexpr (kOperand == Operand::f32) {
      std::uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        high[i] = F::round(a[i]);
        low[i] = F::round(__float_as_uint(__uint_as_float(a[i]) - __uint_as_float(high[i])));
      }
      F::multiply(sum, low, b[0]);
      F::multiply(sum, high, b[1]);
      F::multiply(sum, high, b[0]);
    } else if constexpr (kOperand == Operand::tf32) {
      std::uint32_t rounded[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) rounded[i] = F::round(a[i]);
      F::multiply(sum, rounded, b[0]);
    } else {
      F::multiply(sum, a, b[0]);
    }
  }

  using Weights = uint4[kItems][kParts];

  static __device__ void load_weights(const uint4* from, const int (&item)[kItems], Weights& weights) {
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) weights[s][part] = from[(item[s] * kParts + part) * 32];
    }
  }

  /// Adds the products of one half of a chunk (4 units). Items of one position share what is read of V.
  static __device__ void multiply_half(std::uint32_t V, const int (&place)[kItems], const Weights& weights,
                                       float (&sums)[kItems][kBlocks][4]) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      std::uint32_t a[kBlocks][4];
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        if (s == 0 || place[s] != place[s - 1]) {
#pragma unroll
          for (int block = 0; block < kBlocks; ++block) load_matrices(V + place[s] + 2 * k * kUnit + block * 256, a[block]);
        }
        std::uint32_t b[kParts][2];
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          b[part][0] = k == 0 ? weights[s][part].x : weights[s][part].z;
          b[part][1] = k == 0 ? weights[s][part].y : weights[s][part].w;
        }
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) multiply(sums[s][block], a[block], b);
      }
    }
  }

  /// Where this thread's tile begins in a patch and in V, in bytes; behind the last tile it has none.
  struct Place {
    int patch, row_bytes;
    std::uint32_t V;
    bool has_tile;
  };
  static __device__ Place place_of_thread(const FusedLayer& layer, std::uint32_t V) {
    const int unit = threadIdx.x % kChunkUnits, tile = threadIdx.x / kChunkUnits;
    int column = tile;
    const int image = layer.by_block_tiles.divide(column);
    const int row = layer.by_block_columns.divide(column);
    const int row_bytes = patch_columns(layer, kStride) * kPixelBytes;
    const int line = image * patch_rows(layer, kStride) + row * T::kStep;
    return {line * row_bytes + column * T::kStep * kPixelBytes + unit * 16, row_bytes, V + unit * kUnit + tile * 16, image < layer.block_images};
  }

  static __device__ void run(const FusedLayer& layer, const FusedPointers& p, const FusedGroups& groups) {
    extern __shared__ __align__(128) std::byte shared[];
    const FusedMemory memory(layer, kStride, kTiles, sizeof(Storage));
    const std::uint32_t base = shared_address(shared);
    const RowSlice& slice = layer.slice[blockIdx.y];
    const int warp = warp_of_thread(), lane = threadIdx.x % 32;
    std::uint32_t offsets[kRounds];
    find_pixels(layer, corner(layer), offsets);
    copy_pixels(layer, p.input, offsets, 0, base);

    // Slots past the last item repeat it; their sums are not used.
    int item[kItems], place[kItems];
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
      item[s] = min(warp * kItems + s, slice.items - 1);
      place[s] = groups.positions[blockIdx.y * layer.max_items + item[s]] * kChunkUnits * kUnit;
    }
    const uint4* fragments = reinterpret_cast<const uint4*>(p.fragments + slice.first_fragment) + lane;
    const int half_weights = slice.items * kParts * 32;
    const Place mine = place_of_thread(layer, base + memory.V);
    const std::uint32_t V = base + memory.V + (lane / 16) * kUnit + (lane % 16) * 16;

    float sums[kItems][kBlocks][4] = {};
    for (int chunk = 0; chunk < layer.chunks; ++chunk) {
      wait_for_copies();
      __syncthreads();
      if (chunk + 1 < layer.chunks) copy_pixels(layer, p.input, offsets, chunk + 1, base + (chunk + 1) % 2 * memory.patch_bytes);
      if (mine.has_tile) transform(base + chunk % 2 * memory.patch_bytes + mine.patch, mine.row_bytes, slice.alive_mask, mine.V);
      Weights first, second;
      load_weights(fragments, item, first);
      fragments += half_weights;
      __syncthreads();
      load_weights(fragments, item, second);
      fragments += half_weights;
      multiply_half(V, place, first, sums);
      multiply_half(V + 4 * kUnit, place, second, sums);
    }
    __syncthreads();

    const std::uint32_t stage = base + memory.stage;
    if (p.residual != nullptr) move_pixels<true>(layer, p, slice, stage);
    float* const M = reinterpret_cast<float*>(shared);
    store_sums(sums, item, slice.items, M);
    wait_for_copies();
    __syncthreads();
    finish(layer, p, groups, slice, M, stage);
    __syncthreads();
    move_pixels<false>(layer, p, slice, stage);
  }

  /// M in shared memory, over patches and V: [row][tile].
  static __device__ void store_sums(const float (&sums)[kItems][kBlocks][4], const int (&item)[kItems], int items, float* M) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < kItems; ++s) {
      if (warp_of_thread() * kItems + s >= items) break;
      float* const row = M + (item[s] * kItemRows + lane % 4 * 2) * m_pitch(kTiles) + lane / 4;
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        row[b * 16] = sums[s][b][0];
        row[b * 16 + m_pitch(kTiles)] = sums[s][b][1];
        row[b * 16 + 8] = sums[s][b][2];
        row[b * 16 + 8 + m_pitch(kTiles)] = sums[s][b][3];
      }
    }
  }

  /// 16 bytes of the output of one pixel of a tile in shared memory: its tile decides where in the line of the pixel,
  /// so that neither a lane for each tile nor a lane for each unit meets others' banks.
  static __device__ std::uint32_t stage_offset(int units, int quarter, int tile, int unit) {
    return ((quarter * kTiles + tile) * units + (unit ^ (tile & (units % 8 == 0 ? 7 : units % 4 == 0 ? 3 : 0)))) * 16;
  }

  /// Residuals from device memory into the stage, or outputs from there to device memory, whole lines at a time: a
  /// thread has one unit of the four pixels of a tile.
  template <bool kIn>
  static __device__ void move_pixels(const FusedLayer& layer, const FusedPointers& p, const RowSlice& slice, std::uint32_t stage) {
    const Corner at = corner(layer);
    const int units = layer.slice_groups * kGroupWords;
    int unit = threadIdx.x;
    const int first = layer.by_units.divide(unit), step = layer.by_units.quotient(kThreads);
    if (first >= step || unit * kUnitChannels >= slice.channels) {
      if constexpr (kIn) commit_copies();
      return;
    }
    const int pitch = kIn ? layer.residual_pitch : layer.output_pitch;
    const int channel = slice.first_channel + unit * kUnitChannels;
    for (int tile = first; tile < kTiles; tile += step) {
      int tile_column = tile;
      const int tile_image = layer.by_block_tiles.divide(tile_column), tile_row = layer.by_block_columns.divide(tile_column);
      const int image = at.image + tile_image, row = (at.row + tile_row) * 2, column = (at.column + tile_column) * 2;
      if (tile_image >= layer.block_images || image >= layer.batch) break;
      const std::uint32_t pixel = static_cast<std::uint32_t>((image * layer.out_height + row) * layer.out_width + column);
      const std::size_t element = static_cast<std::size_t>(pixel) * pitch + channel;
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        if (row + q / 2 >= layer.out_height || column + q % 2 >= layer.out_width) continue;
        const std::size_t from = element + static_cast<std::size_t>((q / 2 * layer.out_width + q % 2) * pitch);
        const std::uint32_t staged = stage + stage_offset(units, q, tile, unit);
        if constexpr (kIn) {
          copy_async(staged, static_cast<const Storage*>(p.residual) + from, 16);
        } else {
          *reinterpret_cast<uint4*>(static_cast<Storage*>(p.output) + from) = load_shared(staged);
        }
      }
    }
    if constexpr (kIn) commit_copies();
  }

  /// Inverse transform, bias, residual and activation: a warp takes 8 output channels of 32 tiles, a lane one tile.
  static __device__ void finish(const FusedLayer& layer, const FusedPointers& p, const FusedGroups& groups, const RowSlice& slice,
                                const float* M, std::uint32_t stage) {
    constexpr int kParties = kTiles / 32;  ///< warps that share a group of channels
    const int warp = warp_of_thread(), tile = warp % kParties * 32 + static_cast<int>(threadIdx.x) % 32;
    for (int first = warp / kParties * kGroupChannels; first < slice.channels; first += kWarps / kParties * kGroupChannels) {
      const int group = first / kGroupChannels, count = slice.channels - first;
      float y[4][kGroupChannels];
      invert(groups.words + (blockIdx.y * layer.slice_groups + group) * kGroupWordsOf, M + tile, y);
      if (p.bias != nullptr) add_bias(p.bias + slice.first_channel + first, count, y);
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        uint4 words[kGroupWords];
        std::uint32_t at[kGroupWords];
#pragma unroll
        for (int w = 0; w < kGroupWords; ++w) at[w] = stage + stage_offset(layer.slice_groups * kGroupWords, q, tile, group * kGroupWords + w);
        if (p.residual != nullptr) {
#pragma unroll
          for (int w = 0; w < kGroupWords; ++w) words[w] = load_shared(at[w]);
          F::add_group(words, y[q]);
        }
        if (layer.activation == FusedActivation::general) activate(layer, y[q]);
        if (count < kGroupChannels) clear(count, y[q]);
        F::pack_group(y[q], words);
        if (layer.activation == FusedActivation::relu) F::relu(words);
#pragma unroll
        for (int w = 0; w < kGroupWords; ++w) store_shared(at[w], words[w]);
      }
    }
  }

  /// A^T M A of one tile and 8 channels. All lanes of a warp have the same rows.
  static __device__ void invert(const std::uint32_t* groups, const float* M, float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
#pragma unroll
      for (int k = 0; k < kGroupChannels; ++k) y[q][k] = 0;
    }
#pragma unroll
    for (int xi = 0; xi < kPositions; ++xi) {
      const std::uint32_t word = groups[xi];
      if (word == 0) continue;
      const float* row = M + (word >> 16) * m_pitch(kTiles);
#pragma unroll
      for (int k = 0; k < kGroupChannels; ++k) {
        if ((word >> k & 1U) == 0) continue;
        const float m = *row;
        row += m_pitch(kTiles);
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const float factor = T::A(xi / kSize, q / 2) * T::A(xi % kSize, q % 2);
          if (factor > 0) y[q][k] += m;
          if (factor < 0) y[q][k] -= m;
        }
      }
    }
  }

  static __device__ void add_bias(const float* bias, int count, float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) {
      const float b = k < count ? bias[k] : 0;
#pragma unroll
      for (int q = 0; q < 4; ++q) y[q][k] += b;
    }
  }

  /// NaN stays NaN.
  static __device__ void activate(const FusedLayer& layer, float (&y)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) {
      float x = y[k] < 0 ? y[k] * layer.slope : y[k];
      x = x < layer.low ? layer.low : x;
      y[k] = x > layer.high ? layer.high : x;
    }
  }

  static __device__ void clear(int count, float (&y)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) y[k] = k < count ? y[k] : 0;
  }
};

template <Operand kOperand, int kStride, int kTiles, int kItems>
__global__ void __launch_bounds__(kTiles * kChunkUnits, kTiles == 64 ? 1 : 2)
    winograd_fused(const __grid_constant__ FusedLayer layer, const __grid_constant__ FusedPointers pointers,
                   const __grid_constant__ FusedGroups groups) {
  FusedKernel<kOperand, kStride, kTiles, kItems>::run(layer, pointers, groups);
}

/// Launches one shape; raises its limit of shared memory, which is per device, each time.
template <Operand kOperand, int kStride, int kTiles, int kItems>
bool launch_one(const FusedLayer& layer, const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream) {
  const auto kernel = &winograd_fused<kOperand, kStride, kTiles, kItems>;
  const std::size_t bytes = fused_shared_bytes(layer, kStride, {kTiles, kItems}, storage_bytes(kOperand));
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)) != cudaSuccess) return false;
  const dim3 grid(static_cast<unsigned>(layer.grid_images * layer.grid_rows * layer.grid_columns), static_cast<unsigned>(layer.slices));
  kernel<<<grid, kTiles * kChunkUnits, bytes, stream>>>(layer, pointers, groups);
  return cudaPeekAtLastError() == cudaSuccess;
}

template <Operand kOperand, int kStride>
bool launch_shape(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream) {
  const auto is = [&](int tiles, int items) { return shape.tiles == tiles && shape.items_per_warp == items; };
  if (is(32, 2)) return launch_one<kOperand, kStride, 32, 2>(layer, pointers, groups, stream);
  if (is(32, 3)) return launch_one<kOperand, kStride, 32, 3>(layer, pointers, groups, stream);
  if (is(32, 4)) return launch_one<kOperand, kStride, 32, 4>(layer, pointers, groups, stream);
  if (is(32, 6)) return launch_one<kOperand, kStride, 32, 6>(layer, pointers, groups, stream);
  if (is(64, 1)) return launch_one<kOperand, kStride, 64, 1>(layer, pointers, groups, stream);
  if (is(64, 2)) return launch_one<kOperand, kStride, 64, 2>(layer, pointers, groups, stream);
  if (is(64, 3)) return launch_one<kOperand, kStride, 64, 3>(layer, pointers, groups, stream);
  if (is(64, 4)) return launch_one<kOperand, kStride, 64, 4>(layer, pointers, groups, stream);
  return false;
}

}  // namespace wins::runtime::cuda
