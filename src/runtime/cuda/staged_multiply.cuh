// Products of all positions in one launch: M_xi [rows][tiles] = U_xi [rows][C] V_xi [tiles][C]^T.
//
// A block takes 128 tiles of one position and some of its rows, a warp 32 of the tiles and up to 64 of the rows. Channels come in
// chunks of 128 bytes through shared memory (cp.async, two chunks on their way), where 16-byte units are permuted so that
// ldmatrix finds its eight rows in different banks.
#pragma once

#include "tensor_core.cuh"
#include "winograd_staged.hpp"

namespace wins::runtime::cuda {

template <Operand kOperand>
struct StagedMultiply {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  static constexpr bool kSplit = kOperand == Operand::f32;  ///< into two TF32 numbers
  static constexpr int kTiles = kStagedTiles;
  static constexpr int kWarpTiles = 32, kWarpRows = 64;
  static constexpr int kRowWarps = kSplit ? 1 : 2;
  static constexpr int kRows = kRowWarps * kWarpRows;
  static constexpr int kWarps = kTiles / kWarpTiles * kRowWarps;
  static constexpr int kThreadCount = kWarps * 32;
  static constexpr int kChunkBytes = kChunkUnits * 16;
  static constexpr int kStages = 3;
  static constexpr int kStageBytes = (kTiles + kRows) * kChunkBytes;
  static constexpr int kPitch = kTiles + 4;  ///< floats of a row of M in shared memory: 4 row pairs lie in different banks
  static constexpr int kBytes = kStages * kStageBytes;
  static constexpr int kResident = kSplit ? 3 : 2;  ///< blocks of a multiprocessor
  static_assert(kRows * kPitch * 4 <= kBytes);

  /// What a block multiplies.
  struct Part {
    int first_row, rows;  ///< of all rows
    int first_tile;
    const Storage* V;
  };

  static __device__ Part part_of(const StagedProducts& products, const Storage* V) {
    int block = static_cast<int>(blockIdx.x), i = 0;
    for (; i + 1 < products.count && block >= products.first_block[i + 1]; ++i) {
    }
    block -= products.first_block[i];
    const int row_blocks = (products.rows[i] + kRows - 1) / kRows, tile_block = block / row_blocks, row = block % row_blocks * kRows;
    return {products.first_row[i] + row, min(kRows, products.rows[i] - row), tile_block * kTiles, V + i * products.position_elements};
  }

  static __device__ std::uint32_t unit_address(std::uint32_t base, int row, int unit) {
    return base + static_cast<std::uint32_t>(row * kChunkBytes + ((unit ^ (row & 7)) * 16));
  }

  /// Copies one chunk of V and U; what lies behind the ends becomes zero.
  static __device__ void copy(const StagedProducts& products, const Part& part, const Storage* U, int chunk, std::uint32_t stage) {
    const int unit = static_cast<int>(threadIdx.x) % kChunkUnits, channel = (chunk * kChunkUnits + unit) * F::kChannels;
    const bool inside = channel < products.channels;
    for (int row = static_cast<int>(threadIdx.x) / kChunkUnits; row < kTiles; row += kThreadCount / kChunkUnits) {
      const bool real = inside && part.first_tile + row < products.tiles;
      const Storage* from = real ? part.V + static_cast<std::int64_t>(part.first_tile + row) * products.channels + channel : part.V;
      copy_async(unit_address(stage, row, unit), from, real ? 16 : 0);
    }
    const std::uint32_t base = stage + kTiles * kChunkBytes;
    // What fills the last item is never stored.
    for (int row = static_cast<int>(threadIdx.x) / kChunkUnits; row < part.rows; row += kThreadCount / kChunkUnits) {
      const Storage* from = inside ? U + static_cast<std::int64_t>(part.first_row + row) * products.channels + channel : U;
      copy_async(unit_address(base, row, unit), from, inside ? 16 : 0);
    }
  }

  using Sums = float[kWarpTiles / 16][kWarpRows / 8][4];

  /// Two units of channels. `items`: of 8 rows, of this warp.
  static __device__ void multiply(std::uint32_t stage, int step, int items, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int first_tile = warp / kRowWarps * kWarpTiles, first_row = warp % kRowWarps * kWarpRows;
    std::uint32_t a[kWarpTiles / 16][4], low[kWarpTiles / 16][4];
#pragma unroll
    for (int i = 0; i < kWarpTiles / 16; ++i) {
      load_matrices(unit_address(stage, first_tile + i * 16 + lane % 16, step * 2 + lane / 16), a[i]);
      if constexpr (kSplit) split(a[i], low[i]);
    }
    const std::uint32_t rows = stage + kTiles * kChunkBytes;
    constexpr int kItems = 4;  ///< at once: sums that do not wait for each other
#pragma unroll
    for (int j = 0; j < kWarpRows / 8; j += kItems) {
      if (j >= items) break;
      std::uint32_t b[kItems / 2][4], b_low[kItems / 2][4];
#pragma unroll
      for (int h = 0; h < kItems / 2; ++h) {
        load_matrices(unit_address(rows, first_row + (j + 2 * h) * 8 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2), b[h]);
        if constexpr (kSplit) split(b[h], b_low[h]);
      }
      if constexpr (kSplit) {
        // The small products first.
        multiply_items(low, b, sums, j);
        multiply_items(a, b_low, sums, j);
      }
      multiply_items(a, b, sums, j);
    }
  }

  template <int kPairs>
  static __device__ void multiply_items(const std::uint32_t (&a)[kWarpTiles / 16][4], const std::uint32_t (&b)[kPairs][4], Sums& sums, int first) {
#pragma unroll
    for (int h = 0; h < kPairs; ++h) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const std::uint32_t item[2] = {b[h][2 * k], b[h][2 * k + 1]};
#pragma unroll
        for (int i = 0; i < kWarpTiles / 16; ++i) F::multiply(sums[i][first + 2 * h + k], a[i], item);
      }
    }
  }

  /// high := the nearest TF32 number, low := that of what is left.
  static __device__ void split(std::uint32_t (&high)[4], std::uint32_t (&low)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t rounded = F::round(high[i]);
      low[i] = F::round(F::sub(high[i], rounded));
      high[i] = rounded;
    }
  }

  /// Sums go through shared memory, so that M is written in whole lines.
  template <class Product>
  static __device__ void store(const StagedProducts& products, const Part& part, const Sums& sums, int items, float* shared, Product* M) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    float* to = shared + (warp % kRowWarps * kWarpRows + lane % 4 * 2) * kPitch + warp / kRowWarps * kWarpTiles + lane / 4;
#pragma unroll
    for (int j = 0; j < kWarpRows / 8; ++j) {
      if (j >= items) break;
#pragma unroll
      for (int i = 0; i < kWarpTiles / 16; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) to[(j * 8 + e % 2) * kPitch + i * 16 + e / 2 * 8] = sums[i][j][e];
      }
    }
    __syncthreads();
    for (int row = warp; row < part.rows; row += kWarps) {
      const float4 values = *reinterpret_cast<const float4*>(shared + row * kPitch + lane * 4);
      Product* at = M + static_cast<std::int64_t>(part.first_row + row) * products.tile_pitch + part.first_tile + lane * 4;
      store_four(at, values);
    }
  }

  static __device__ void store_four(float* to, const float4& values) { *reinterpret_cast<float4*>(to) = values; }
  template <class Product>
  static __device__ void store_four(Product* to, const float4& values) {
    Product four[4] = {static_cast<Product>(values.x), static_cast<Product>(values.y), static_cast<Product>(values.z),
                       static_cast<Product>(values.w)};
    *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(four);
  }

  template <class Product>
  static __device__ void run(const StagedProducts& products, const Storage* U, const Storage* V, Product* M, float* shared) {
    const Part part = part_of(products, V);
    const std::uint32_t base = shared_address(shared);
    const int chunks = (products.channels / F::kChannels + kChunkUnits - 1) / kChunkUnits;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int items = (part.rows - warp % kRowWarps * kWarpRows + 7) / 8;
    Sums sums = {};
    for (int chunk = 0; chunk < kStages - 1; ++chunk) {
      if (chunk < chunks) copy(products, part, U, chunk, base + static_cast<std::uint32_t>(chunk * kStageBytes));
      commit_copies();
    }
    for (int chunk = 0; chunk < chunks; ++chunk) {
      asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
      __syncthreads();
      const int next = chunk + kStages - 1;
      if (next < chunks) copy(products, part, U, next, base + static_cast<std::uint32_t>(next % kStages * kStageBytes));
      commit_copies();
      const std::uint32_t stage = base + static_cast<std::uint32_t>(chunk % kStages * kStageBytes);
#pragma unroll
      for (int step = 0; step < kChunkUnits / 2; ++step) multiply(stage, step, items, sums);
    }
    __syncthreads();
    store(products, part, sums, items, shared, M);
  }
};

}  // namespace wins::runtime::cuda
