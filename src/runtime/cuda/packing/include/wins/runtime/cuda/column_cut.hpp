// How thread blocks cut a product of kept columns. Host code, tested without a GPU.
#pragma once

#include <array>
#include <cstdint>

#include "wins/runtime/cuda/column_pack.hpp"
#include "wins/runtime/cuda/product_cut.hpp"

namespace wins::runtime::cuda {

/// What a layer's zeros make of it, by tile.
struct ColumnFacts {
  struct Tiles {
    std::int64_t count = 0;   ///< filter tiles
    std::int64_t chunks = 0;  ///< of all of them
    std::int64_t steps = 0;   ///< of all of them
  };
  std::int64_t kept = 0, columns = 0;  ///< of all strips
  std::array<Tiles, kColumnTileCount> tiles{};
};
ColumnFacts column_facts(const KeptColumns& kept);

struct ColumnSize {
  std::int64_t pixels = 1;  ///< of the output
  double bytes = 0;         ///< read and written once
};

struct ColumnCut {
  ColumnTile tile = ColumnTile::tall;
  double us = 0;  ///< predicted

  const ColumnTileSize& size() const { return kColumnTiles[static_cast<int>(tile)]; }
};

/// The tile that is predicted fastest.
ColumnCut choose_column_cut(const ColumnFacts& facts, const ColumnSize& size, Operand operand, const ProductDevice& device);

}  // namespace wins::runtime::cuda
