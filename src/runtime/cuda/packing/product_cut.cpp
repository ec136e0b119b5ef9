#include "wins/runtime/cuda/product_cut.hpp"

#include <algorithm>
#include <limits>

#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

/// Microseconds on an H200, fitted to layers of five networks at batch 1 and 64 (bench/layers/cuda.cpp).
struct Times {
  double launch;
  double full, full_chunk;      ///< of as many blocks as a multiprocessor holds: once, and for each chunk
  double single, single_chunk;  ///< of one block that has a multiprocessor to itself
  double split, more;           ///< where several blocks share a tile: once, and for each of them
};

const Times& times_of(ProductTile tile, Operand operand) {
  static constexpr Times kF32[] = {
      {2.2, 6.8, 1.90, 6.8, 1.90, 5.0, 0.25}, {3.0, 4.2, 2.54, 2.3, 1.58, 3.0, 0.20}, {3.0, 2.8, 1.41, 1.0, 1.09, 2.1, 0.10}, {1.9, 2.9, 1.49, 1.8, 1.09, 2.1, 0.20}};
  static constexpr Times kTf32[] = {
      {4.0, 7.8, 2.15, 4.0, 1.00, 4.0, 0.30}, {3.0, 4.5, 1.75, 2.8, 0.81, 2.6, 0.20}, {2.5, 2.5, 1.64, 2.1, 0.70, 1.9, 0.08}, {1.2, 2.9, 1.04, 2.4, 0.63, 2.1, 0.20}};
  static constexpr Times k16[] = {
      {4.0, 8.1, 1.26, 4.0, 0.78, 4.3, 0.15}, {3.5, 4.5, 0.92, 2.0, 0.67, 2.7, 0.10}, {3.0, 3.0, 0.75, 1.0, 0.59, 1.9, 0.06}, {2.0, 3.0, 0.68, 1.6, 0.55, 2.0, 0.15}};
  const Times* times = operand == Operand::f32 ? kF32 : operand == Operand::tf32 ? kTf32 : k16;
  return times[static_cast<int>(tile)];
}

double predict(const ProductCut& cut, const ProductSize& size, Operand operand, const ProductDevice& device) {
  const Times& t = times_of(cut.tile, operand);
  const std::int64_t blocks = divide_up(cut.tiles() * cut.splits, device.processors), resident = resident_products(cut.tile, operand);  // of a multiprocessor
  const auto chunks = static_cast<double>(divide_up(size.chunks, cut.splits));
  const auto full = static_cast<double>(blocks / resident), single = static_cast<double>(blocks % resident);
  const double us = t.launch + full * (t.full + chunks * t.full_chunk) + single * (t.single + chunks * t.single_chunk);
  const double shared = cut.splits > 1 ? t.split + t.more * cut.splits : 0;
  return std::max(us + shared, 2 + size.bytes / (0.8 * device.bandwidth));
}

}  // namespace

ProductCut product_cut(const ProductSize& size, ProductTile tile, int splits) {
  ProductCut cut;
  cut.tile = tile;
  cut.splits = splits;
  cut.pixel_tiles = static_cast<std::int32_t>(divide_up(size.pixels, cut.size().pixels));
  cut.filter_tiles = static_cast<std::int32_t>(divide_up(size.filters, cut.size().filters));
  return cut;
}

ProductCut choose_product_cut(const ProductSize& size, Operand operand, const ProductDevice& device) {
  ProductCut best;
  best.us = std::numeric_limits<double>::infinity();
  for (const ProductTile tile : {ProductTile::wide, ProductTile::tall, ProductTile::narrow, ProductTile::small}) {
    if (product_shared_bytes(tile, operand) > device.shared_bytes) continue;
    for (int splits = 1; splits <= std::min<std::int64_t>(kMaxSplits, size.chunks); splits *= 2) {
      ProductCut cut = product_cut(size, tile, splits);
      cut.us = predict(cut, size, operand, device);
      if (cut.us < best.us) best = cut;
    }
  }
  return best;
}

}  // namespace wins::runtime::cuda
