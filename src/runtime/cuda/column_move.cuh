// Chunks of a column product on their way to shared memory: by the copy engine of compute capability 9.0, else by the threads.
#pragma once

#include "bulk_copy.cuh"
#include "column_product.hpp"
#include "storage.cuh"
#include "tensor_core.cuh"

namespace wins::runtime::cuda {

/// A chunk in shared memory: its lines as [line][pixel] of 128 bytes, swizzled, then its steps.
template <Operand kOperand, ColumnTile kTile>
struct ColumnStage {
  static constexpr ColumnTileSize kSize = kColumnTiles[static_cast<int>(kTile)];
  static constexpr int kStepBytes = step_words(kOperand) * 4, kLine = kSize.line_bytes(), kPixelBytes = kSize.lines * kLine;
  static constexpr int kBytes = column_stage_bytes(kTile, kOperand);
  static_assert(kBytes % 1024 == 0 && kLine % 1024 == 0, "swizzled lines");
};

/// What a block copies.
struct ColumnSource {
  const ProductLayer& layer;
  const ProductPointers& pointers;
  const ColumnPointers& columns;
  const CUtensorMap& map;
  int pixel_tile;
};

__device__ inline bool has_line(const ColumnChunk& chunk, int slot) { return chunk.lines[slot] != kNoLine; }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

template <Operand kOperand, ColumnTile kTile>
class ColumnMove {
  using Stage = ColumnStage<kOperand, kTile>;
  static constexpr int kStages = Stage::kSize.stages;

 public:
  /// `base` as all stages begin; the barriers stand behind them. Every thread of the block.
  __device__ ColumnMove(const ColumnSource& from, std::uint32_t base) : from_(from), base_(base) {
    const ProductLayer& layer = from.layer;
    x_ = from.pixel_tile * Stage::kSize.pixels;
    if (is_strided(layer)) {
      image_ = layer.by_out_image.divide(x_);
      y_ = layer.by_out_width.divide(x_) * layer.stride_y;
      x_ *= layer.stride_x;
    }
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) init_barrier(barrier(stage));
      publish_barriers();
    }
    __syncthreads();
  }

  /// Every thread calls it, behind a barrier of those who read the stage.
  __device__ void start(const ColumnChunk& chunk, bool exists, int stage) const {
    if (threadIdx.x != 0 || !exists) return;
    const std::uint32_t to = base_ + stage * Stage::kBytes, bytes = chunk.ends[kMaxStrips - 1] * Stage::kStepBytes;
    int lines = 0;
#pragma unroll
    for (int slot = 0; slot < Stage::kSize.lines; ++slot) lines += has_line(chunk, slot) ? 1 : 0;
    expect_bytes(barrier(stage), lines * Stage::kLine + bytes);
#pragma unroll
    for (int slot = 0; slot < Stage::kSize.lines; ++slot) {
      if (!has_line(chunk, slot)) continue;
      const int channel = chunk.lines[slot] * kLineChannels;
      const std::uint32_t line = to + slot * Stage::kLine;
      if (is_strided(from_.layer)) load_pixels(line, from_.map, channel, x_, y_, image_, barrier(stage));
      else load_rectangle(line, from_.map, channel, x_, 0, 0, barrier(stage));
    }
    load_run(to + Stage::kPixelBytes, from_.columns.steps + static_cast<std::int64_t>(chunk.first_step) * (Stage::kStepBytes / 16), bytes, barrier(stage));
  }

  /// Until the stage's chunk is there; `round`: how many were there before it.
  __device__ void wait(int stage, int round) const { wait_barrier(barrier(stage), static_cast<std::uint32_t>(round & 1)); }

 private:
  __device__ std::uint32_t barrier(int stage) const { return base_ + kStages * Stage::kBytes + stage * 8; }

  const ColumnSource& from_;
  std::uint32_t base_;
  int x_, y_ = 0, image_ = 0;
};

#else

template <Operand kOperand, ColumnTile kTile>
class ColumnMove {
  using Stage = ColumnStage<kOperand, kTile>;
  static constexpr int kUnits = kLineBytes / 16, kApart = kThreads / kUnits, kRounds = Stage::kSize.pixels / kApart;

 public:
  __device__ ColumnMove(const ColumnSource& from, std::uint32_t base) : from_(from), base_(base) {
    const ProductLayer& layer = from.layer;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      int x = from.pixel_tile * Stage::kSize.pixels + r * kApart + static_cast<int>(threadIdx.x) / kUnits;
      const int image = layer.by_out_image.divide(x);
      const int y = layer.by_out_width.divide(x);
      pixels_[r] = image < layer.batch ? (image * layer.height + y * layer.stride_y) * layer.width + x * layer.stride_x : -1;
    }
  }

  __device__ void start(const ColumnChunk& chunk, bool exists, int stage) const {
    if (exists) copy(chunk, base_ + stage * Stage::kBytes);
    commit_copies();
  }

  __device__ void wait(int, int) const {
    wait_for_group<Stage::kSize.stages - 1>();
    __syncthreads();
  }

 private:
  __device__ void copy(const ColumnChunk& chunk, std::uint32_t stage) const {
    const auto* input = static_cast<const float*>(from_.pointers.input);
    const int unit = static_cast<int>(threadIdx.x) % kUnits, first = static_cast<int>(threadIdx.x) / kUnits;
    for (int slot = 0; slot < Stage::kSize.lines && has_line(chunk, slot); ++slot) {
      const int channel = chunk.lines[slot] * kLineChannels + unit * 4;
      const std::uint32_t to = stage + slot * Stage::kLine + first * kLineBytes + (unit ^ first % kUnits) * 16;
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        const bool inside = pixels_[r] >= 0 && channel < from_.columns.channels;
        copy_async(to + r * kApart * kLineBytes, inside ? input + static_cast<std::int64_t>(pixels_[r]) * from_.layer.input_pitch + channel : input, inside ? 16 : 0);
      }
    }
    const int words = chunk.ends[kMaxStrips - 1] * (Stage::kStepBytes / 16);
    const uint4* steps = from_.columns.steps + static_cast<std::int64_t>(chunk.first_step) * (Stage::kStepBytes / 16);
    for (int word = static_cast<int>(threadIdx.x); word < words; word += kThreads) copy_async(stage + Stage::kPixelBytes + word * 16, steps + word, 16);
  }

  const ColumnSource& from_;
  std::uint32_t base_;
  int pixels_[kRounds];  ///< of the input, -1 past the last
};

#endif

}  // namespace wins::runtime::cuda
