// How the product of kept columns is cut, and when it is predicted to pay.
#include "wins/runtime/cuda/column_cut.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace wins::runtime::cuda {
namespace {

/// An H100.
constexpr ProductDevice kDevice{132, 227 * 1024, 3.35e6};

/// Every `apart`-th channel is kept, another one in each strip.
ColumnFacts facts_of(std::int64_t K, std::int64_t C, std::int64_t apart) {
  std::vector<float> weights(static_cast<std::size_t>(K * C), 0.0F);
  for (std::int64_t k = 0; k < K; ++k) {
    for (std::int64_t c = k / kStripFilters % apart; c < C; c += apart) weights[static_cast<std::size_t>(k * C + c)] = 1;
  }
  return column_facts(KeptColumns(weights, K, C));
}

double bytes_of(std::int64_t pixels, std::int64_t K, std::int64_t C) { return static_cast<double>(4 * (pixels * (K + C) + K * C)); }

ColumnCut columns(std::int64_t pixels, std::int64_t K, std::int64_t C, std::int64_t apart, Operand operand) {
  return choose_column_cut(facts_of(K, C, apart), {pixels, bytes_of(pixels, K, C)}, operand, kDevice);
}

double dense_us(std::int64_t pixels, std::int64_t K, std::int64_t C, Operand operand) {
  return choose_product_cut({pixels, K, (C + 31) / 32, bytes_of(pixels, K, C)}, operand, kDevice).us;
}

TEST(ColumnCut, CountsWhatIsKept) {
  const ColumnFacts facts = facts_of(130, 64, 4);
  EXPECT_EQ(facts.columns, 3 * 64);
  EXPECT_EQ(facts.kept, 3 * 16);
  const auto& tall = facts.tiles[static_cast<std::size_t>(ColumnTile::tall)];
  EXPECT_EQ(tall.count, 3);
  EXPECT_EQ(tall.chunks, 3);
  EXPECT_EQ(tall.steps, 6);
  const auto& wide = facts.tiles[static_cast<std::size_t>(ColumnTile::wide)];
  EXPECT_EQ(wide.count, 2);
  EXPECT_EQ(wide.steps, 6);
  EXPECT_EQ(facts_of(64, 64, 64).kept, 1);
}

TEST(ColumnCut, ManyPixelsPayAndFewDoNot) {
  for (const Operand operand : {Operand::f32, Operand::tf32}) {
    EXPECT_LT(columns(12544, 256, 1024, 5, operand).us, 0.7 * dense_us(12544, 256, 1024, operand));
    EXPECT_LT(columns(50176, 128, 512, 5, operand).us, dense_us(50176, 128, 512, operand));
    EXPECT_GT(columns(49, 512, 2048, 5, operand).us, dense_us(49, 512, 2048, operand));  // one image: nobody shares the sum
  }
}

TEST(ColumnCut, LessIsFaster) {
  for (const Operand operand : {Operand::f32, Operand::tf32}) {
    const double half = columns(12544, 256, 1024, 2, operand).us, fifth = columns(12544, 256, 1024, 5, operand).us;
    EXPECT_GT(half, fifth);
    EXPECT_GE(fifth, columns(12544, 256, 1024, 20, operand).us);
    EXPECT_GT(columns(12544, 256, 1024, 1024, operand).us, bytes_of(12544, 256, 1024) / kDevice.bandwidth) << "below what memory allows";
  }
}

TEST(ColumnCut, TakesTilesThatExistAndFit) {
  for (const std::int64_t pixels : {1, 3136, 200704}) {
    for (const Operand operand : {Operand::f32, Operand::tf32}) {
      EXPECT_TRUE(has_column_tile(columns(pixels, 512, 512, 5, operand).tile, operand));
      ProductDevice small = kDevice;
      small.shared_bytes = 99 * 1024;
      const ColumnCut cut = choose_column_cut(facts_of(512, 512, 5), {pixels, 1e6}, operand, small);
      EXPECT_LE(column_shared_bytes(cut.tile, operand), small.shared_bytes);
    }
  }
}

}  // namespace
}  // namespace wins::runtime::cuda
