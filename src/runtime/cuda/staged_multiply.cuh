// Products of all positions in one launch: M_xi [rows][tiles] = U_xi [rows][C] V_xi [tiles][C]^T.
//
// A block takes 128 tiles of one position and some of its rows; tiles and rows are the pixels and filters of an implicit product, whose
// sums these are. On Hopper chunks of channels come by bulk copies, several on their way, and two groups of four warps wait for each other
// only where a chunk's memory is filled again.
#pragma once

#include "bulk_copy.cuh"
#include "product_groups.cuh"
#include "product_warps.cuh"
#include "storage.cuh"
#include "winograd_staged.hpp"

namespace wins::runtime::cuda {

template <Operand kOperand, int kRows>
struct StagedMultiply {
  using F = Format<kOperand>;
  static constexpr ProductTile kLargest = kRows == 128 ? ProductTile::wide : ProductTile::tall;
  template <ProductTile kTile>
  using StageOf = ProductStage<kOperand, kTile, 0>;
  using Stage = StageOf<kLargest>;  ///< those of smaller tiles are parts of it
  static constexpr int kTiles = kStagedTiles;
  static constexpr int kResident = resident_products(kLargest, kOperand);
  static constexpr int kStages = product_stages(kLargest, kOperand), kStageBytes = Stage::kBytes;
  static constexpr int kBytes = kStages * kStageBytes;
  static constexpr int kPitch = kTiles + 4;  ///< floats of a row of M in shared memory: 4 row pairs lie in different banks
  static constexpr std::uint32_t kUnitRun = kTiles * 16, kItemRun = Stage::kItemBytes;
  static_assert(Stage::kPixels == kTiles && Stage::kFilters == kRows && kRows * kPitch * 4 <= kBytes);

  /// What a block multiplies.
  struct Part {
    int first_row, rows;     ///< of all rows
    int first_tile;
    int units, chunks;       ///< of channels
    int items;               ///< of the block's rows
    const std::byte *V, *U;  ///< of its tiles; of its first chunk and item
    std::int64_t U_chunk;    ///< bytes from one chunk to the next
  };

  static __device__ Part part_of(const StagedProducts& products, const void* U, const void* V) {
    int block = static_cast<int>(blockIdx.x), i = 0;
    for (; i + 1 < products.count && block >= products.first_block[i + 1]; ++i) {
    }
    block -= products.first_block[i];
    const int row_blocks = (products.rows[i] + kRows - 1) / kRows, tile_block = block / row_blocks, row = block % row_blocks * kRows;
    Part part;
    part.rows = min(kRows, products.rows[i] - row);
    part.first_row = products.first_row[i] + row;
    part.first_tile = tile_block * kTiles;
    part.units = products.channels / F::kChannels;
    part.chunks = (part.units + kChunkUnits - 1) / kChunkUnits;
    part.items = (part.rows + kItemRows - 1) / kItemRows;
    part.V = static_cast<const std::byte*>(V) + i * products.position_elements * static_cast<int>(sizeof(typename F::Storage)) +
             static_cast<std::int64_t>(tile_block) * part.units * kUnitRun;
    const int items = (products.rows[i] + kItemRows - 1) / kItemRows;
    part.U = static_cast<const std::byte*>(U) +
             (static_cast<std::int64_t>(products.first_item[i]) * part.chunks + row / kItemRows) * kItemRun;
    part.U_chunk = static_cast<std::int64_t>(items) * kItemRun;
    return part;
  }

  static __device__ std::uint32_t stage_of(std::uint32_t base, int chunk) { return base + static_cast<std::uint32_t>(chunk % kStages * kStageBytes); }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  template <ProductTile kTile>
  using Sums = GroupSums<kOperand, StageOf<kTile>>;

  /// One thread's: asks for a chunk.
  static __device__ void load(const Part& part, int chunk, std::uint32_t stage, std::uint32_t barrier) {
    const int units = min(kChunkUnits, part.units - chunk * kChunkUnits);
    expect_bytes(barrier, units * kUnitRun + part.items * kItemRun);
    load_run(stage, part.V + chunk * kChunkUnits * kUnitRun, units * kUnitRun, barrier);
    load_run(stage + Stage::kPixelBytes, part.U + chunk * part.U_chunk, part.items * kItemRun, barrier);
  }

  /// Units that the last chunk lacks meet zeros of U; they must be numbers, where nothing else was copied there before.
  static __device__ void clear_missing(const Part& part, std::uint32_t base) {
    const int left = part.units % kChunkUnits;
    if (left == 0 || part.chunks > kStages) return;
    const std::uint32_t stage = stage_of(base, part.chunks - 1);
    for (int i = left * kTiles + static_cast<int>(threadIdx.x); i < kChunkUnits * kTiles; i += kThreads) {
      store_shared(stage + i / kTiles * Stage::kUnitBytes + i % kTiles * 16, {});
    }
  }

  template <class AnySums>
  static __device__ void add_chunks(const Part& part, std::uint32_t base, AnySums& sums) {
    __shared__ std::uint64_t full[kStages], empty[kStages];
    const auto barrier_of = [](std::uint64_t* barriers, int chunk) { return shared_address(barriers + chunk % kStages); };
    const auto parity_of = [](int chunk) { return static_cast<std::uint32_t>(chunk / kStages & 1); };
    if (threadIdx.x == 0) {
      for (int i = 0; i < kStages; ++i) {
        init_barrier(shared_address(full + i));
        init_barrier(shared_address(empty + i), kThreads);
      }
      publish_barriers();
    }
    clear_missing(part, base);
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int chunk = 0; chunk < min(kStages, part.chunks); ++chunk) load(part, chunk, stage_of(base, chunk), barrier_of(full, chunk));
    }
    for (int chunk = 0; chunk < part.chunks; ++chunk) {
      wait_barrier(barrier_of(full, chunk), parity_of(chunk));
      sums.add(stage_of(base, chunk), part.items < 0, [&] {
        const int done = chunk - 1, next = done + kStages;
        if (threadIdx.x == 0 && chunk > 0 && next < part.chunks) {
          wait_barrier(barrier_of(empty, done), parity_of(done));
          load(part, next, stage_of(base, next), barrier_of(full, next));
        }
        __syncwarp();
      });
      arrive_barrier(barrier_of(empty, chunk));
    }
    __syncthreads();
  }
#else
  template <ProductTile kTile>
  using Sums = WarpSums<kOperand, StageOf<kTile>>;

  /// Copies a chunk; units that do not exist become zeros.
  static __device__ void copy(const Part& part, int chunk, std::uint32_t stage) {
    for (int i = static_cast<int>(threadIdx.x); i < kChunkUnits * kTiles; i += kThreads) {
      const int unit = i / kTiles;
      const bool exists = chunk * kChunkUnits + unit < part.units;
      const std::byte* from = exists ? part.V + (static_cast<std::int64_t>(chunk) * kChunkUnits * kTiles + i) * 16 : part.V;
      copy_async(stage + unit * Stage::kUnitBytes + i % kTiles * 16, from, exists ? 16 : 0);
    }
    const std::byte* U = part.U + chunk * part.U_chunk;
    for (int i = static_cast<int>(threadIdx.x); i < part.items * static_cast<int>(kItemRun / 16); i += kThreads) {
      copy_async(stage + Stage::kPixelBytes + i * 16, U + i * 16, 16);
    }
  }

  template <class AnySums>
  static __device__ void add_chunks(const Part& part, std::uint32_t base, AnySums& sums) {
    for (int chunk = 0; chunk < kStages - 1; ++chunk) {
      if (chunk < part.chunks) copy(part, chunk, stage_of(base, chunk));
      commit_copies();
    }
    for (int chunk = 0; chunk < part.chunks; ++chunk) {
      wait_for_group<kStages - 2>();
      __syncthreads();
      sums.add(stage_of(base, chunk), part.items < 0, [&] {
        const int next = chunk + kStages - 1;
        if (next < part.chunks) copy(part, next, stage_of(base, next));
        commit_copies();
      });
    }
    __syncthreads();
  }
#endif

  /// Sums go through shared memory, so that M is written in whole lines.
  template <class AnySums, class Product>
  static __device__ void store(const StagedProducts& products, const Part& part, const AnySums& sums, float* shared, Product* M) {
    sums.for_each_pair([shared](int tile, int row, float first, float second) {
      shared[row * kPitch + tile] = first;
      shared[(row + 1) * kPitch + tile] = second;
    });
    __syncthreads();
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int row = static_cast<int>(threadIdx.x) / 32; row < part.rows; row += kThreads / 32) {
      const float4 values = *reinterpret_cast<const float4*>(shared + row * kPitch + lane * 4);
      store_four(M + static_cast<std::int64_t>(part.first_row + row) * products.tile_pitch + part.first_tile + lane * 4, values);
    }
  }

  static __device__ void store_four(float* to, const float4& values) { *reinterpret_cast<float4*>(to) = values; }
  template <class Product>
  static __device__ void store_four(Product* to, const float4& values) {
    Product four[4] = {static_cast<Product>(values.x), static_cast<Product>(values.y), static_cast<Product>(values.z),
                       static_cast<Product>(values.w)};
    *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(four);
  }

  template <ProductTile kTile, class Product>
  static __device__ void multiply(const StagedProducts& products, const Part& part, Product* M, float* shared) {
    Sums<kTile> sums;
    add_chunks(part, shared_address(shared), sums);
    let_successor_start();
    store(products, part, sums, shared, M);
  }

  /// Blocks with few rows multiply no more than they have.
  template <class Product>
  static __device__ void run(const StagedProducts& products, const void* U, const void* V, Product* M, float* shared) {
    const Part part = part_of(products, U, V);
    wait_for_predecessor();
    if constexpr (kRows == 128) {
      if (part.rows > 64) return multiply<ProductTile::wide>(products, part, M, shared);
    }
    if (part.rows > 32) return multiply<ProductTile::tall>(products, part, M, shared);
    multiply<ProductTile::narrow>(products, part, M, shared);
  }
};

}  // namespace wins::runtime::cuda
