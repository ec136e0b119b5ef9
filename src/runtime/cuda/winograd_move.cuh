// How a block of the fused kernel moves pixels between device and shared memory: by the copy engine of compute capability 9.0, or
// by its threads.
#pragma once

#include "bulk_copy.cuh"
#include "tensor_core.cuh"
#include "winograd_fused.hpp"
#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

/// The first tile of a rectangle.
struct Corner {
  int image, row, column;
};
__device__ inline Corner corner_of(const FusedLayer& layer, int rectangle) {
  int column = rectangle;
  int row = layer.by_grid_columns.divide(column);
  const int image = layer.by_grid_rows.divide(row);
  return {image * layer.block_images, row * layer.block_rows, column * layer.block_columns};
}

/// A tile of a block.
struct BlockTile {
  int image, row, column;
};
__device__ inline BlockTile tile_of_block(const FusedLayer& layer, int tile) {
  const int image = layer.by_block_tiles.divide(tile);
  const int row = layer.by_block_columns.divide(tile);
  return {image, row, tile};
}
/// Pixels of a block's outputs stand in one list, row by row: the first one of a tile.
__device__ inline int stage_pixel(const FusedLayer& layer, const BlockTile& tile) {
  const int side = tile_outputs(layer);
  return (tile.image * layer.block_rows + tile.row) * side * layer.memory.stage_columns + tile.column * side;
}

/// Where 16 bytes of a pixel lie in the stage: as the copy engine swizzles lines of 128, 64 or 32 bytes.
__device__ inline std::uint32_t in_stage(const BlockMemory& memory, std::uint32_t stage, int pixel, int unit) {
  const int bits = memory.stage_line_bits, mask = (1 << bits) - 1;
  const int within = (unit & mask) ^ (pixel >> (3 - bits) & mask);
  return stage + (unit >> bits) * memory.stage_pitch + (pixel << (bits + 4)) + (within << 4);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/// One thread asks the copy engine for whole rectangles. `kSplit`: of the turns that are this block's in its cluster.
template <Operand kOperand, int kStride, int kTiles, int kUnits, bool kSplit>
class BulkMover {
 public:
  /// `base`: of shared memory.
  __device__ BulkMover(const FusedLayer& layer, const FusedPointers&, const FusedMaps& maps, std::uint32_t base)
      : layer_(layer), maps_(maps), base_(base), next_rectangle_(static_cast<int>(blockIdx.x)), first_turn_(kSplit ? block_in_cluster() * layer.turns : 0), next_turn_(first_turn_) {
    if (threadIdx.x != 0) return;
    for (int b = 0; b < 3; ++b) init_barrier(barrier(b));
    publish_barriers();
    prefetch_map(maps.input);
    prefetch_map(maps.output);
    keep(corner_of(layer, next_rectangle_));
  }
  /// The first loads, which what runs before this layer may still be writing until now.
  __device__ void begin() {
    if (threadIdx.x != 0) return;
    for (int b = 0; b < layer_.memory.patch_buffers; ++b) load_next();
  }

  /// Waits for the patch of this turn; patches come channels after channels, rectangle after rectangle. Also a barrier of the block.
  __device__ void wait_for_patch(int turn) {
    if (threadIdx.x == 0 && !layer_.memory.stage_apart) wait_for_stores();
    __syncthreads();
    wait_barrier(barrier(turn & (layer_.memory.patch_buffers - 1)), turn >> (layer_.memory.patch_buffers - 1) & 1);
  }
  /// Behind a barrier of the block after the last use of a patch: its buffer takes the next one.
  __device__ void release_patch() {
    if (threadIdx.x == 0) load_next();
  }

  /// Residuals whose place nothing else uses meanwhile.
  __device__ void load_residual_early(int rectangle, const RowSlice& slice) {
    if (threadIdx.x != 0 || !layer_.memory.stage_apart) return;
    wait_for_stores();
    load_residual(rectangle, slice);
  }
  /// Before a barrier of the block, behind which the stage is used; then `load_residual_late` may overwrite what was V.
  __device__ void prepare_stage(bool has_residual) {
    if (threadIdx.x == 0 && layer_.memory.stage_apart) wait_for_stores();
    if (has_residual && !layer_.memory.stage_apart) fence_copy_engine();
  }
  __device__ void load_residual_late(int rectangle, const RowSlice& slice) {
    if (threadIdx.x == 0 && !layer_.memory.stage_apart) load_residual(rectangle, slice);
  }
  __device__ void wait_for_residual() {
    wait_barrier(barrier(2), residuals_ & 1);
    ++residuals_;
  }

  /// Begins with a barrier of the block.
  __device__ void write(int rectangle, const RowSlice& slice) {
    fence_copy_engine();
    __syncthreads();
    if (threadIdx.x != 0) return;
    each_line(rectangle, slice, [&](int x, int y, int z, int w, std::uint32_t line) { store_rectangle(maps_.output, x, y, z, w, line); });
    commit_stores();
  }
  /// Before shared memory is given back.
  __device__ void end() {
    if (threadIdx.x == 0) wait_for_stores();
  }

 private:
  /// The constants of this are in their cache then, which takes longer than all else here.
  static __device__ void keep(const Corner& at) { asm volatile("" ::"r"(at.image), "r"(at.row), "r"(at.column)); }

  /// One thread.
  __device__ void load_residual(int rectangle, const RowSlice& slice) {
    const int lines = (slice.channels + line_channels() - 1) / line_channels();
    expect_bytes(barrier(2), lines * 4 * layer_.block_tiles * layer_.memory.stage_line_bytes);
    each_line(rectangle, slice, [&](int x, int y, int z, int w, std::uint32_t line) { load_rectangle(line, maps_.residual, x, y, z, w, barrier(2)); });
  }

  __device__ std::uint32_t barrier(int b) const { return base_ + layer_.memory.barriers + b * 8; }

  __device__ void load_next() {
    if (next_rectangle_ >= layer_.rectangles) return;
    using T = Tile<kStride>;
    const Corner at = corner_of(layer_, next_rectangle_);
    const int buffer = loads_ & (layer_.memory.patch_buffers - 1);
    expect_bytes(barrier(buffer), layer_.memory.patch_bytes);
    load_rectangle(base_ + buffer * layer_.memory.patch_bytes, maps_.input, next_turn_ * kUnits * Format<kOperand>::kChannels,
                   at.column * T::kStep - layer_.pad_left, at.row * T::kStep - layer_.pad_top, at.image, barrier(buffer));
    ++loads_;
    if (++next_turn_ < first_turn_ + layer_.turns) return;
    next_turn_ = first_turn_;
    next_rectangle_ += static_cast<int>(gridDim.x);
  }

  __device__ int line_channels() const { return layer_.memory.stage_line_bytes / static_cast<int>(sizeof(typename Format<kOperand>::Storage)); }

  template <class Move>
  __device__ void each_line(int rectangle, const RowSlice& slice, const Move& move) {
    const Corner at = corner_of(layer_, rectangle);
    const BlockMemory& memory = layer_.memory;
    const int side = tile_outputs(layer_);
    for (int line = 0; line * line_channels() < slice.channels; ++line) {
      move(slice.first_channel + line * line_channels(), at.column * side, at.row * side, at.image, base_ + memory.stage + line * memory.stage_pitch);
    }
  }

  const FusedLayer& layer_;
  const FusedMaps& maps_;
  std::uint32_t base_;
  int next_rectangle_, first_turn_, next_turn_, loads_ = 0, residuals_ = 0;
};

#endif

/// As many threads as a pixel has units take them.
template <Operand kOperand, int kStride, int kTiles, int kUnits>
class ThreadMover {
 public:
  using F = Format<kOperand>;
  using Storage = typename F::Storage;
  using T = Tile<kStride>;

  __device__ ThreadMover(const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps&, std::uint32_t base)
      : layer_(layer), pointers_(pointers), base_(base), next_rectangle_(static_cast<int>(blockIdx.x)) {}
  __device__ void begin() {
    for (int b = 0; b < layer_.memory.patch_buffers; ++b) load_next();
  }

  __device__ void wait_for_patch(int) {
    if (layer_.memory.patch_buffers == 2) {
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    } else {
      wait_for_copies();
    }
    __syncthreads();
  }
  __device__ void release_patch() { load_next(); }

  __device__ void load_residual_early(int, const RowSlice&) {}
  __device__ void prepare_stage(bool) {}
  __device__ void load_residual_late(int rectangle, const RowSlice& slice) { move_pixels<true>(rectangle, slice); }
  /// A barrier of the block follows.
  __device__ void wait_for_residual() { wait_for_copies(); }

  __device__ void write(int rectangle, const RowSlice& slice) {
    __syncthreads();
    move_pixels<false>(rectangle, slice);
  }
  __device__ void end() {}

 private:
  static constexpr int kThreads = kTiles * kUnits;
  static constexpr int kRounds = copy_rounds(kStride);
  static constexpr std::uint32_t kOutside = 0xFFFFFFFFU;

  /// Bytes from the input to each pixel of the patch that this thread copies, kOutside where the image ends.
  __device__ void find_pixels() {
    const Corner at = corner_of(layer_, next_rectangle_);
    const int pixels = patch_pixels(layer_, kStride), unit = threadIdx.x % kUnits;
    const int top = at.row * T::kStep - layer_.pad_top, left = at.column * T::kStep - layer_.pad_left;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (r * kTiles >= pixels) break;
      int x = r * kTiles + static_cast<int>(threadIdx.x) / kUnits;
      offsets_[r] = kOutside;
      int y = layer_.by_patch_columns.divide(x);
      const int image = at.image + layer_.by_patch_rows.divide(y);
      x += left;
      y += top;
      if (image >= layer_.batch || static_cast<unsigned>(y) >= static_cast<unsigned>(layer_.height) ||
          static_cast<unsigned>(x) >= static_cast<unsigned>(layer_.width)) {
        continue;
      }
      const int source = (image * layer_.height + y) * layer_.width + x;
      offsets_[r] = (source * layer_.input_pitch + unit * F::kChannels) * static_cast<std::uint32_t>(sizeof(Storage));
    }
  }

  /// One group of copies, an empty one past the last.
  __device__ void load_next() {
    if (next_rectangle_ < layer_.rectangles) {
      if (next_turn_ == 0) find_pixels();
      copy_pixels(next_turn_, base_ + (loads_ & (layer_.memory.patch_buffers - 1)) * layer_.memory.patch_bytes);
      ++loads_;
      if (++next_turn_ == layer_.turns) {
        next_turn_ = 0;
        next_rectangle_ += static_cast<int>(gridDim.x);
      }
    }
    commit_copies();
  }

  __device__ void copy_pixels(int turn, std::uint32_t patch) {
    const int units = (layer_.channels + F::kChannels - 1) / F::kChannels, pixels = patch_pixels(layer_, kStride);
    const bool channels_left = turn * kUnits + static_cast<int>(threadIdx.x) % kUnits < units;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (r * kTiles >= pixels) break;
      if (r * kTiles + static_cast<int>(threadIdx.x) / kUnits >= pixels) continue;
      const bool inside = channels_left && offsets_[r] != kOutside;
      copy_async(patch + r * kTiles * kUnits * 16 + threadIdx.x * 16,
                 static_cast<const std::byte*>(pointers_.input) + (inside ? offsets_[r] + turn * kUnits * 16 : 0), inside ? 16 : 0);
    }
  }

  /// Residuals from device memory into the stage, or outputs from there to device memory, whole lines at a time: a
  /// thread has one unit of the pixels of a tile.
  template <bool kIn>
  __device__ void move_pixels(int rectangle, const RowSlice& slice) {
    const Corner at = corner_of(layer_, rectangle);
    int unit = threadIdx.x;
    const int first = layer_.by_units.divide(unit), step = layer_.by_units.quotient(kThreads);
    if (first >= step || unit * F::kChannels >= slice.channels) return;
    const int pitch = kIn ? layer_.residual_pitch : layer_.output_pitch, side = tile_outputs(layer_);
    const int channel = slice.first_channel + unit * F::kChannels;
    for (int t = first; t < layer_.block_tiles; t += step) {
      const BlockTile tile = tile_of_block(layer_, t);
      const int image = at.image + tile.image, row = (at.row + tile.row) * side, column = (at.column + tile.column) * side;
      if (image >= layer_.batch) break;
      const std::uint32_t pixel = static_cast<std::uint32_t>((image * layer_.out_height + row) * layer_.out_width + column);
      const std::size_t element = static_cast<std::size_t>(pixel) * pitch + channel;
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        if (q > 0 && side == 1) break;
        if (row + q / 2 >= layer_.out_height || column + q % 2 >= layer_.out_width) continue;
        const std::size_t from = element + static_cast<std::size_t>((q / 2 * layer_.out_width + q % 2) * pitch);
        const int within = stage_pixel(layer_, tile) + q / 2 * layer_.memory.stage_columns + q % 2;
        const std::uint32_t staged = in_stage(layer_.memory, base_ + layer_.memory.stage, within, unit);
        if constexpr (kIn) {
          copy_async(staged, static_cast<const Storage*>(pointers_.residual) + from, 16);
        } else {
          *reinterpret_cast<uint4*>(static_cast<Storage*>(pointers_.output) + from) = load_shared(staged);
        }
      }
    }
  }

  const FusedLayer& layer_;
  const FusedPointers& pointers_;
  std::uint32_t base_;
  int next_rectangle_, next_turn_ = 0, loads_ = 0;
  std::uint32_t offsets_[kRounds];
};

}  // namespace wins::runtime::cuda
