// From the sums of a block of the fused kernel to outputs in its stage.
#pragma once

#include "nan_order.cuh"
#include "tensor_core.cuh"
#include "winograd_fused.hpp"
#include "winograd_move.cuh"
#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

/// What is the same in all lanes, so that the compiler sees it too.
__device__ inline int same_in_warp(int x) { return __shfl_sync(0xFFFFFFFFU, x, 0); }
__device__ inline int warp_of_thread() { return same_in_warp(static_cast<int>(threadIdx.x / 32)); }

/// What a block works on.
struct FusedBlock {
  const FusedLayer& layer;
  const FusedGroups& groups;
  const RowSlice& slice;
  std::uint32_t base;  ///< of shared memory
  bool has_residual;
};

template <Operand kOperand, int kStride, int kTiles, int kWarps>
struct FusedOutputs {
  using F = Format<kOperand>;
  using T = Tile<kStride>;
  static constexpr int kSize = T::kSize, kPositions = kSize * kSize;
  static constexpr int kGroupWords = kGroupChannels * static_cast<int>(sizeof(typename F::Storage)) / 16;
  static constexpr int kWordsOfGroup = (kPositions + 3) / 4 * 4;  ///< of FusedGroups

  /// Inverse transform, bias, residual and activation: a warp takes 8 output channels of 32 tiles, a lane one tile.
  static __device__ void finish(const FusedBlock& block) {
    constexpr int kParties = kTiles / 32;  ///< warps that share a group of channels
    const int warp = warp_of_thread(), t = warp % kParties * 32 + static_cast<int>(threadIdx.x) % 32;
    const std::uint32_t pixel = load_shared_word(block.base + block.layer.memory.pixels + t * 4);
    // All warps go around equally often, which takes fewer registers.
    for (int first = 0; first * kGroupChannels < block.slice.channels; first += kWarps / kParties) {
      const int group = same_in_warp(first + warp / kParties);
      if (group * kGroupChannels < block.slice.channels) finish_group(block, group, t, static_cast<int>(pixel));
    }
  }

  static __device__ void finish_group(const FusedBlock& block, int group, int t, int pixel) {
    const FusedLayer& layer = block.layer;
    float y[4][kGroupChannels];
    invert(block.groups.words + (blockIdx.y * layer.slice_groups + group) * kWordsOfGroup, block.base + layer.memory.V + t * 4, y);
    add_bias(block.base + layer.memory.bias + group * kGroupChannels * 4, y);
    if (t >= layer.block_tiles) return;
    if (layer.max_pool) {
      float largest[1][kGroupChannels];
      keep_largest(y, largest[0]);
      store_outputs(block, group, pixel, largest);
    } else {
      store_outputs(block, group, pixel, y);
    }
  }

  /// Where the stage keeps 8 channels of one pixel of a tile.
  struct Staged {
    std::uint32_t at[kGroupWords];
    __device__ Staged(const FusedBlock& block, int group, int pixel, int q) {
      const BlockMemory& memory = block.layer.memory;
#pragma unroll
      for (int w = 0; w < kGroupWords; ++w) at[w] = in_stage(memory, block.base + memory.stage, pixel + q / 2 * memory.stage_columns + q % 2, group * kGroupWords + w);
    }
    /// Of the residual.
    __device__ void add_to(float (&y)[kGroupChannels]) const {
      uint4 words[kGroupWords];
#pragma unroll
      for (int w = 0; w < kGroupWords; ++w) words[w] = load_shared(at[w]);
      F::add_group(words, y);
    }
    __device__ void store(const uint4 (&words)[kGroupWords]) const {
#pragma unroll
      for (int w = 0; w < kGroupWords; ++w) store_shared(at[w], words[w]);
    }
  };

  /// One branch for the usual layers. A layer with a pool has no residual.
  template <int kOutputs>
  static __device__ void store_outputs(const FusedBlock& block, int group, int pixel, float (&y)[kOutputs][kGroupChannels]) {
    if (block.layer.activation == FusedActivation::general || (group + 1) * kGroupChannels > block.slice.channels) {
      store_any(block, group, pixel, y);
    } else if (kOutputs == 4 && block.has_residual) {
      block.layer.activation == FusedActivation::relu ? store_usual<true, true>(block, group, pixel, y) : store_usual<false, true>(block, group, pixel, y);
    } else {
      block.layer.activation == FusedActivation::relu ? store_usual<true, false>(block, group, pixel, y) : store_usual<false, false>(block, group, pixel, y);
    }
  }

  template <bool kRelu, bool kResidual, int kOutputs>
  static __device__ void store_usual(const FusedBlock& block, int group, int pixel, float (&y)[kOutputs][kGroupChannels]) {
#pragma unroll
    for (int q = 0; q < kOutputs; ++q) {
      const Staged staged(block, group, pixel, q);
      if constexpr (kResidual) staged.add_to(y[q]);
      uint4 words[kGroupWords];
      if constexpr (kRelu) {
        F::pack_relu_group(y[q], words);
      } else {
        F::pack_group(y[q], words);
      }
      staged.store(words);
    }
  }

  template <int kOutputs>
  static __device__ void store_any(const FusedBlock& block, int group, int pixel, float (&y)[kOutputs][kGroupChannels]) {
    const int count = block.slice.channels - group * kGroupChannels;
#pragma unroll
    for (int q = 0; q < kOutputs; ++q) {
      const Staged staged(block, group, pixel, q);
      if (kOutputs == 4 && block.has_residual) staged.add_to(y[q]);
      activate(block.layer, y[q]);
      if (count < kGroupChannels) clear(count, y[q]);
      uint4 words[kGroupWords];
      F::pack_group(y[q], words);
      staged.store(words);
    }
  }

  /// A^T M A of one tile and 8 channels. All lanes of a warp have the same rows.
  static __device__ void invert(const std::uint32_t* groups, std::uint32_t M, float (&y)[4][kGroupChannels]) {
    constexpr std::uint32_t kRowBytes = m_pitch(kTiles) * sizeof(float);
#pragma unroll
    for (int q = 0; q < 4; ++q) {
#pragma unroll
      for (int k = 0; k < kGroupChannels; ++k) y[q][k] = 0;
    }
    // All words at once: each load may miss the constant cache.
    uint4 quads[kWordsOfGroup / 4];
#pragma unroll
    for (int i = 0; i < kWordsOfGroup / 4; ++i) quads[i] = reinterpret_cast<const uint4*>(groups)[i];
#pragma unroll
    for (int xi = 0; xi < kPositions; ++xi) {
      const uint4& quad = quads[xi / 4];
      const std::uint32_t word = xi % 4 == 0 ? quad.x : xi % 4 == 1 ? quad.y : xi % 4 == 2 ? quad.z : quad.w;
      if (__any_sync(0xFFFFFFFFU, word != 0) == 0) continue;
      // Two pointers: each waits for its last use before it moves on.
      std::uint32_t rows[2] = {M + (word >> 16) * kRowBytes};
      rows[1] = rows[0] + (word >> 8 & 7U) * kRowBytes;
#pragma unroll
      for (int i = 0; i < kGroupChannels; ++i) {
        const int k = i / 2 + i % 2 * (kGroupChannels / 2);
        if ((word >> k & 1U) == 0) continue;
        const float m = load_shared_float(rows[i % 2]);
        rows[i % 2] += kRowBytes;
#pragma unroll
        for (int q = 0; q < 4; ++q) {
          const float factor = T::A(xi / kSize, q / 2) * T::A(xi % kSize, q % 2);
          if (factor > 0) y[q][k] += m;
          if (factor < 0) y[q][k] -= m;
        }
      }
    }
  }

  static __device__ void add_bias(std::uint32_t bias, float (&y)[4][kGroupChannels]) {
#pragma unroll
    for (int i = 0; i < kGroupChannels; i += 4) {
      const uint4 words = load_shared(bias + i * 4);
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        y[q][i] += __uint_as_float(words.x);
        y[q][i + 1] += __uint_as_float(words.y);
        y[q][i + 2] += __uint_as_float(words.z);
        y[q][i + 3] += __uint_as_float(words.w);
      }
    }
  }

  /// Of a tile's four outputs: all activations of this kernel with a pool keep order.
  static __device__ void keep_largest(const float (&y)[4][kGroupChannels], float (&largest)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) largest[k] = larger(larger(y[0][k], y[1][k]), larger(y[2][k], y[3][k]));
  }

  /// NaN stays NaN.
  static __device__ void activate(const FusedLayer& layer, float (&y)[kGroupChannels]) {
    const bool relu = layer.activation == FusedActivation::relu, none = layer.activation == FusedActivation::none;
    // A minus infinity times 0 would be no number.
    const float slope = relu || none ? 1 : layer.slope, low = relu ? 0 : none ? -kInfinity : layer.low, high = relu || none ? kInfinity : layer.high;
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) {
      float x = y[k] < 0 ? y[k] * slope : y[k];
      x = x < low ? low : x;
      y[k] = x > high ? high : x;
    }
  }

  static __device__ void clear(int count, float (&y)[kGroupChannels]) {
#pragma unroll
    for (int k = 0; k < kGroupChannels; ++k) y[k] = k < count ? y[k] : 0;
  }
};

}  // namespace wins::runtime::cuda
