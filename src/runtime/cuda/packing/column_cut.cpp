#include "wins/runtime/cuda/column_cut.hpp"

#include <algorithm>
#include <limits>

namespace wins::runtime::cuda {
namespace {

/// Microseconds on an H100, fitted to the 1x1 layers of ResNet-50 at batch 1 and 64, 80 % of the columns pruned.
struct Times {
  double launch;
  double alone, alone_chunk, alone_step;  ///< of a block that nothing slows down: once, for each chunk, for each step
  double full, full_chunk, full_step;     ///< what a block adds to the time of a multiprocessor with as many as it holds
};

const Times& times_of(ColumnTile tile, Operand operand) {
  static constexpr Times kF32[kColumnTileCount] = {{3.9, 0.4, 0.3, 0.17, 2.4, 0.30, 0.15}, {5.0, 1.6, 0.3, 0.28, 3.9, 0.84, 0.08}, {}};
  static constexpr Times kTf32[kColumnTileCount] = {{3.8, 0.4, 0.3, 0.03, 2.2, 0.30, 0.08}, {5.0, 1.6, 0.3, 0.13, 3.7, 0.30, 0.12}, {4.1, 0.3, 0.3, 0.06, 1.7, 0.15, 0.07}};
  return (operand == Operand::f32 ? kF32 : kTf32)[static_cast<int>(tile)];
}

double predict(ColumnTile tile, const ColumnFacts& facts, const ColumnSize& size, Operand operand, const ProductDevice& device) {
  const Times& t = times_of(tile, operand);
  const int pixels = kColumnTiles[static_cast<int>(tile)].pixels;
  const ColumnFacts::Tiles& tiles = facts.tiles[static_cast<std::size_t>(tile)];
  const auto count = static_cast<double>(tiles.count), chunks = static_cast<double>(tiles.chunks) / count, steps = static_cast<double>(tiles.steps) / count;
  const double blocks = static_cast<double>((size.pixels + pixels - 1) / pixels) * count / device.processors;  // of a multiprocessor
  const double us = std::max(t.alone + chunks * t.alone_chunk + steps * t.alone_step, blocks * (t.full + chunks * t.full_chunk + steps * t.full_step));
  return std::max(t.launch + us, 2 + size.bytes / (0.85 * device.bandwidth));
}

}  // namespace

ColumnFacts column_facts(const KeptColumns& kept) {
  ColumnFacts facts;
  facts.kept = kept.count();
  facts.columns = kept.strips() * kept.channels();
  for (int tile = 0; tile < kColumnTileCount; ++tile) {
    ColumnFacts::Tiles& tiles = facts.tiles[static_cast<std::size_t>(tile)];
    for (std::int64_t strip = 0; strip < kept.strips(); strip += kColumnTiles[tile].strips()) {
      const std::vector<ColumnChunk> chunks = column_chunks(kept, static_cast<ColumnTile>(tile), strip);
      ++tiles.count;
      tiles.chunks += static_cast<std::int64_t>(chunks.size());
      if (!chunks.empty()) tiles.steps += chunks.back().first_step + chunks.back().ends[kMaxStrips - 1];
    }
  }
  return facts;
}

ColumnCut choose_column_cut(const ColumnFacts& facts, const ColumnSize& size, Operand operand, const ProductDevice& device) {
  ColumnCut best;
  best.us = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kColumnTileCount; ++i) {
    const auto tile = static_cast<ColumnTile>(i);
    if (!has_column_tile(tile, operand) || column_shared_bytes(tile, operand) > device.shared_bytes) continue;
    const double us = predict(tile, facts, size, operand, device);
    if (us < best.us) best = {tile, us};
  }
  return best;
}

}  // namespace wins::runtime::cuda
