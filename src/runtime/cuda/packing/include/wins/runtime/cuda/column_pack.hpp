// Kept columns of a pruned 1x1 convolution (BCBP, docs/methods.md) in the order in which the CUDA kernel multiplies them.
//
// 64 filters, a *strip*, share one list of the input channels that any of them has a weight for. A thread block takes the pixels of
// one or more strips chunk by chunk: whole lines of 32 channels, 128 bytes of each pixel, in which any of its strips keeps a channel, up to a
// number of lines and of *steps*, which are 8 kept channels of one strip, the k of one tensor core instruction.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kStripFilters = 64, kStepChannels = 8, kLineChannels = 32, kLineBytes = 128;
inline constexpr int kMaxLines = 2, kMaxStrips = 2;
inline constexpr std::uint16_t kNoLine = 0xffff;
inline constexpr std::int64_t kMaxColumnChannels = std::int64_t{kNoLine} * kLineChannels;

/// Tiles of pixels x filters; of a chunk the lines and the steps of all strips together; chunks in shared memory.
enum class ColumnTile : std::uint8_t { tall, wide, small };
struct ColumnTileSize {
  int pixels, filters, lines, steps, stages;
  constexpr int strips() const { return filters / kStripFilters; }
  constexpr int line_bytes() const { return pixels * kLineBytes; }  ///< of all pixels
};
inline constexpr ColumnTileSize kColumnTiles[] = {{128, 64, 2, 4, 2}, {128, 128, 2, 5, 2}, {64, 128, 2, 5, 2}};
inline constexpr int kColumnTileCount = static_cast<int>(std::size(kColumnTiles));

/// Whether a tile was built: small ones pay where three blocks share a multiprocessor, for which f32 has too many sums.
constexpr bool has_column_tile(ColumnTile tile, Operand operand) {
  return operand == Operand::tf32 || (operand == Operand::f32 && tile != ColumnTile::small);
}
/// Blocks of a multiprocessor.
constexpr int resident_columns(ColumnTile tile) { return tile == ColumnTile::small ? 3 : 2; }

/// What a block copies at once. Kernels read it as it is.
struct alignas(16) ColumnChunk {
  std::int32_t first_step = 0;                        ///< of ColumnPack::steps
  std::uint8_t ends[kMaxStrips] = {};                 ///< steps of this chunk up to the end of each strip
  std::uint16_t lines[kMaxLines] = {kNoLine, kNoLine};  ///< of the input's channels; kNoLine behind the last
};

/// Parts of a filter: f32 comes as high and low, split here and not by the kernel, for the filters are few.
constexpr int column_parts(Operand operand) { return operand == Operand::f32 ? 2 : 1; }
/// Of a step: parts of [8 filters' item][half][filter][4 channels], 8 x 16-byte matrices as tensor core instructions load them, then
/// for each of 4 lanes where its channels of the two halves lie in the chunk's first pixel, two 16-bit numbers of bytes. Of other pixels 16-byte
/// units change places: their index is combined (xor) with that of the pixel, as the copy engine swizzles lines.
constexpr int step_words(Operand operand) { return column_parts(operand) * kStripFilters * kStepChannels + 4; }

/// Bytes of a chunk in shared memory, and of all that a block has there: chunks and a barrier for each, or its sums in their place.
constexpr int column_stage_bytes(ColumnTile tile, Operand operand) {
  const ColumnTileSize& size = kColumnTiles[static_cast<int>(tile)];
  return (size.lines * size.line_bytes() + size.steps * step_words(operand) * 4 + 1023) / 1024 * 1024;
}
constexpr int column_shared_bytes(ColumnTile tile, Operand operand) {
  const ColumnTileSize& size = kColumnTiles[static_cast<int>(tile)];
  return std::max(size.stages * column_stage_bytes(tile, operand) + size.stages * 8, size.pixels * (size.filters + 8) * 4);
}

struct ColumnPack {
  Operand operand = Operand::f32;
  ColumnTile tile = ColumnTile::tall;
  std::vector<std::int32_t> first_chunk;  ///< [filter tiles + 1]
  std::vector<ColumnChunk> chunks;
  std::vector<std::uint32_t> steps;       ///< [step][step_words]

  const ColumnTileSize& size() const { return kColumnTiles[static_cast<int>(tile)]; }
};

/// Which channels strips keep, and how large a pack is, without packing.
class KeptColumns {
 public:
  /// W [K, C] row-major.
  KeptColumns(std::span<const float> weights, std::int64_t K, std::int64_t C);
  std::int64_t filters() const { return filters_; }
  std::int64_t channels() const { return channels_; }
  std::int64_t strips() const { return (filters_ + kStripFilters - 1) / kStripFilters; }
  bool kept(std::int64_t strip, std::int64_t channel) const { return kept_[static_cast<std::size_t>(strip * channels_ + channel)] != 0; }
  /// Of all strips.
  std::int64_t count() const;

 private:
  std::int64_t filters_, channels_;
  std::vector<std::uint8_t> kept_;
};

/// The chunks of the strips from `first_strip` on that a tile takes; `first_step` counts from 0.
std::vector<ColumnChunk> column_chunks(const KeptColumns& kept, ColumnTile tile, std::int64_t first_strip);

/// Packs W [K, C, 1, 1] for tf32 or f32. Throws `Error` on a weight that is not finite.
ColumnPack pack_columns(const Tensor& weights, Operand operand, ColumnTile tile);

}  // namespace wins::runtime::cuda
