#include "wins/runtime/cuda/column_cut.hpp"

#include <algorithm>
#include <limits>

namespace wins::runtime::cuda {
namespace {

/// Microseconds on an H100, fitted to the 1x1 layers of ResNet-50 at batch 1 and 64, 80 % of the columns pruned (to 3 to 9 % of the times).
struct Times {
  double launch;
  double alone, alone_chunk, alone_step;  ///< of a block that nothing slows down: once, for each chunk, for each step
  double full, full_chunk, full_step;     ///< what a block adds to the time of a multiprocessor with as many as it holds
  double traffic;                         ///< part of the time for all bytes that nothing hides
};

const Times& times_of(ColumnTile tile, Operand operand) {
  static constexpr Times kF32[kColumnTileCount] = {{3.7, 0.32, 0.48, 0.28, 1.45, 0.23, 0.137, 0.51}, {5.0, 2.32, 0.36, 0.32, 2.45, 0.2, 0.177, 0.61}, {}};
  static constexpr Times kTf32[kColumnTileCount] = {
      {3.6, 0.62, 0.32, 0.22, 1.13, 0.2, 0.082, 0.65}, {5.0, 2.28, 0.30, 0.17, 1.53, 0.2, 0.07, 0.82}, {3.8, 0.36, 0.65, 0.058, 0.76, 0.1, 0.041, 0.73}};
  return (operand == Operand::f32 ? kF32 : kTf32)[static_cast<int>(tile)];
}

double predict(ColumnTile tile, const ColumnFacts& facts, const ColumnSize& size, Operand operand, const ProductDevice& device) {
  const Times& t = times_of(tile, operand);
  const int pixels = kColumnTiles[static_cast<int>(tile)].pixels;
  const ColumnFacts::Tiles& tiles = facts.tiles[static_cast<std::size_t>(tile)];
  const auto count = static_cast<double>(tiles.count), chunks = static_cast<double>(tiles.chunks) / count, steps = static_cast<double>(tiles.steps) / count;
  const double blocks = static_cast<double>((size.pixels + pixels - 1) / pixels) * count / device.processors;  // of a multiprocessor
  const double traffic = size.bytes / device.bandwidth, alone = t.alone + chunks * t.alone_chunk + steps * t.alone_step;
  const double full = blocks * (t.full + chunks * t.full_chunk + steps * t.full_step) + t.traffic * traffic;
  return std::max(t.launch + std::max(alone, full), 2 + traffic / 0.85);
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
