// How the implicit product is cut.
#include "wins/runtime/cuda/product_cut.hpp"

#include <gtest/gtest.h>

namespace wins::runtime::cuda {
namespace {

/// An H100.
constexpr ProductDevice kDevice{132, 227 * 1024, 3.35e6};

ProductCut choose(const ProductSize& size, Operand operand) { return choose_product_cut(size, operand, kDevice); }

TEST(ProductCut, TilesCoverPixelsAndFilters) {
  for (const std::int64_t pixels : {1, 49, 64, 129, 12544}) {
    for (const std::int64_t filters : {1, 32, 33, 128, 1000}) {
      for (const Operand operand : {Operand::f16, Operand::bf16, Operand::tf32, Operand::f32}) {
        const ProductSize size{pixels, filters, 9, 1e5};
        const ProductCut cut = choose(size, operand);
        EXPECT_GE(std::int64_t{cut.pixel_tiles} * cut.size().pixels, pixels);
        EXPECT_LT(std::int64_t{cut.pixel_tiles - 1} * cut.size().pixels, pixels);
        EXPECT_GE(std::int64_t{cut.filter_tiles} * cut.size().filters, filters);
        EXPECT_LT(std::int64_t{cut.filter_tiles - 1} * cut.size().filters, filters);
        EXPECT_GE(cut.splits, 1);
        EXPECT_LE(cut.splits, size.chunks) << "a block without a part of the sum";
        EXPECT_GT(cut.us, 0);
        EXPECT_EQ(cut.workspace_floats() > 0, cut.splits > 1);
      }
    }
  }
}

TEST(ProductCut, LongSumsOfFewTilesAreShared) {
  for (const Operand operand : {Operand::f16, Operand::f32}) {
    EXPECT_GT(choose({49, 512, 72, 5e6}, operand).splits, 1);            // 512 channels of 7x7, one image
    EXPECT_EQ(choose({200704, 64, 9, 5e7}, operand).splits, 1);          // 64 channels of 56x56, 64 images
  }
}

TEST(ProductCut, FewFiltersGetNarrowTiles) { EXPECT_EQ(choose({200704, 32, 18, 6e7}, Operand::f32).tile, ProductTile::narrow); }

TEST(ProductCut, FitsTheSharedMemory) {
  const ProductSize size{200704, 512, 72, 1e8};
  EXPECT_EQ(choose(size, Operand::f32).tile, ProductTile::wide);
  ProductDevice small = kDevice;
  small.shared_bytes = 99 * 1024;
  for (const Operand operand : {Operand::f16, Operand::f32}) {
    const ProductCut cut = choose_product_cut(size, operand, small);
    EXPECT_LE(product_shared_bytes(cut.tile, operand), small.shared_bytes);
    EXPECT_GT(cut.us, 0);
  }
}

}  // namespace
}  // namespace wins::runtime::cuda
