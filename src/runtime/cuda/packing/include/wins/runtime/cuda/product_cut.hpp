// How thread blocks cut an implicit product. Host code, tested without a GPU.
#pragma once

#include <cstdint>

#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// Tiles of pixels x filters that were built.
enum class ProductTile : std::uint8_t { wide, tall, narrow, small };

struct ProductTileSize {
  int pixels, filters;
};
inline constexpr ProductTileSize kProductTiles[] = {{128, 128}, {128, 64}, {128, 32}, {64, 64}};

struct ProductCut {
  ProductTile tile = ProductTile::tall;
  std::int32_t splits = 1;     ///< blocks that share a tile
  std::int32_t pixel_tiles = 1, filter_tiles = 1;
  double us = 0;               ///< predicted

  ProductTileSize size() const { return kProductTiles[static_cast<int>(tile)]; }
  std::int64_t tiles() const { return std::int64_t{pixel_tiles} * filter_tiles; }
  std::int64_t workspace_floats() const { return splits > 1 ? tiles() * splits * size().pixels * size().filters : 0; }
};

/// What the choice depends on.
struct ProductSize {
  std::int64_t pixels = 1, filters = 1;  ///< of the output
  std::int64_t chunks = 1;               ///< kernel rows x FilterPack::row_chunks
  double bytes = 0;                      ///< read and written once
};

inline constexpr int kMaxSplits = 16;

/// Blocks that a multiprocessor holds at once. Of the largest with two parts of every number only one fits.
constexpr int resident_products(ProductTile tile, Operand operand) { return tile == ProductTile::wide && operand == Operand::f32 ? 1 : 2; }

/// Chunks in shared memory, and bytes of a block's.
constexpr int product_stages(ProductTile tile, Operand operand) { return resident_products(tile, operand) == 1 ? 4 : 3; }
constexpr int product_shared_bytes(ProductTile tile, Operand operand) {
  const auto [pixels, filters] = kProductTiles[static_cast<int>(tile)];
  const int parts = operand == Operand::f32 ? 2 : 1;
  return product_stages(tile, operand) * kChunkUnits * ((pixels + 1) * 16 + filters * parts * 16);
}

struct ProductDevice {
  int processors = 1, shared_bytes = 0;  ///< multiprocessors; of a block, at most
  double bandwidth = 1;                  ///< bytes per microsecond
};

/// The cut that is predicted fastest.
ProductCut choose_product_cut(const ProductSize& size, Operand operand, const ProductDevice& device);

/// The cut with this tile and number of splits.
ProductCut product_cut(const ProductSize& size, ProductTile tile, int splits);

}  // namespace wins::runtime::cuda
