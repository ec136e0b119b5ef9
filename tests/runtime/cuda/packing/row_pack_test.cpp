// The packed rows, read in the order in which the fused kernel reads them and multiplied by plain loops, against a
// plain Winograd layer in double.
#include "wins/runtime/cuda/row_pack.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "wins/base/exception.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

using winograd::Axis;
using winograd::Mask;

constexpr Operand kOperands[] = {Operand::f16, Operand::bf16, Operand::tf32, Operand::f32};

/// Relative error of one weight.
double rounding(Operand operand) {
  switch (operand) {
    case Operand::f16: return 0x1p-11;
    case Operand::bf16: return 0x1p-8;
    case Operand::tf32: return 0x1p-11;
    case Operand::f32: return 0x1p-22;
  }
  return 0;
}

Mask random_mask(int positions, std::int64_t K, std::int64_t C, double kept, std::uint32_t seed) {
  Mask mask = Mask::full(Axis::row, positions, K, C);
  std::mt19937 random(seed);
  // Some positions are dead, the others keep different shares, as pruning leaves them.
  for (int xi = 0; xi < positions; ++xi) {
    const double share = random() % 3 == 0 ? 0.0 : kept * static_cast<double>(random() % 3);
    for (std::int64_t k = 0; k < K; ++k) {
      if (static_cast<double>(random() % 1000) >= share * 1000) mask.keep[static_cast<std::size_t>(xi * K + k)] = 0;
    }
  }
  return mask;
}

Tensor masked(Tensor U, const Mask& mask) {
  auto values = U.mutable_data<float>();
  for (std::size_t i = 0; i < mask.keep.size(); ++i) {
    if (mask.keep[i] == 0) std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(i) * mask.columns, mask.columns, 0.0F);
  }
  return U;
}

float element(const RowPack& pack, std::uint32_t word, int e) {
  if (pack.factors == Factors::scaled) return std::ldexp(from_float16(static_cast<std::uint16_t>(word >> (16 * e))), -pack.exponent);
  if (pack.operand == Operand::f16) return from_float16(static_cast<std::uint16_t>(word >> (16 * e)));
  if (pack.operand == Operand::bf16) return from_bfloat16(static_cast<std::uint16_t>(word >> (16 * e)));
  return std::bit_cast<float>(word);
}

/// M of one slice: the sums of its rows over channels, V being [positions][C].
std::vector<double> multiply_items(const RowPack& pack, std::size_t s, const std::vector<double>& V) {
  const RowSlice& slice = pack.slices[s];
  std::vector<int> alive;
  for (int xi = 0; xi < pack.positions; ++xi) {
    if ((slice.alive_mask >> xi & 1U) != 0) alive.push_back(xi);
  }
  EXPECT_EQ(static_cast<int>(alive.size()), slice.alive);
  std::vector<double> M(static_cast<std::size_t>(slice.items * kItemRows), 0.0);
  const int elements = pack.unit() / 4;
  std::size_t word = static_cast<std::size_t>(slice.first_fragment);
  for (int half = 0; half < 2 * pack.chunks; ++half) {
    for (int item = 0; item < slice.items; ++item) {
      const int xi = alive.at(pack.item_positions[s * static_cast<std::size_t>(pack.max_items) + static_cast<std::size_t>(item)]);
      for (int part = 0; part < pack.parts(); ++part) {
        for (int lane = 0; lane < 32; ++lane) {
          for (int unit = 0; unit < 4; ++unit, ++word) {
            for (int e = 0; e < elements; ++e) {
              const std::int64_t c = (half * 4 + unit) * pack.unit() + lane % 4 * elements + e;
              if (c >= pack.channels) continue;
              M[static_cast<std::size_t>(item * kItemRows + lane / 4)] +=
                  static_cast<double>(element(pack, pack.fragments.at(word), e)) * V[static_cast<std::size_t>(xi * pack.channels + c)];
            }
          }
        }
      }
    }
  }
  return M;
}

/// Sums of row (xi, k) as the epilogue finds them, 0 where it is pruned: [positions][K].
std::vector<double> sums_of(const RowPack& pack, const std::vector<double>& V) {
  std::vector<double> sums(static_cast<std::size_t>(pack.positions * pack.filters), 0.0);
  for (std::size_t s = 0; s < pack.slices.size(); ++s) {
    const std::vector<double> M = multiply_items(pack, s, V);
    const RowSlice& slice = pack.slices[s];
    for (int k = 0; k < slice.channels; ++k) {
      const std::size_t group = s * static_cast<std::size_t>(pack.slice_groups()) + static_cast<std::size_t>(k / kGroupChannels);
      for (int xi = 0; xi < pack.positions; ++xi) {
        const std::uint32_t word = pack.groups.at(group * static_cast<std::size_t>(pack.group_words()) + static_cast<std::size_t>(xi));
        const std::uint32_t bit = 1U << (k % kGroupChannels);
        EXPECT_EQ(static_cast<int>(word >> 8 & 0xFF), std::popcount(word & 0xF));
        if ((word & bit) == 0) continue;
        const auto row = (word >> 16) + static_cast<std::uint32_t>(std::popcount(word & (bit - 1)));
        sums[static_cast<std::size_t>(xi * pack.filters + slice.first_channel + k)] = M.at(row);
      }
    }
  }
  return sums;
}

struct Case {
  int positions;
  std::int64_t K, C;
  double kept;
  int slice_channels;
};

/// One row at each of these positions.
PackSize size_of(std::initializer_list<int> alive) {
  Mask mask = Mask::full(Axis::row, 16, 20, 8);
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  for (const int xi : alive) mask.keep[static_cast<std::size_t>(xi * 20 + 17)] = 1;
  return pack_size(mask, 16);
}

TEST(RowPack, SizesKnowWherePositionsLie) {
  EXPECT_TRUE(size_of({0, 3, 12, 15}).outer);
  for (const int other : {0, 4, 11, 15, 1, 5, 6, 14}) EXPECT_EQ(size_of({0, 3, 12, 15, other}).outer, other % 4 == 0 || other % 4 == 3) << other;
  EXPECT_TRUE(size_of({1, 4, 5, 6, 7, 9, 13}).cross);
  for (const int other : {0, 2, 3, 8, 10, 11, 12, 14, 15}) EXPECT_FALSE(size_of({5, other}).cross) << other;
}

void check(const Case& c, Operand operand, Factors factors) {
  const Mask mask = c.kept >= 1 ? Mask::full(Axis::row, c.positions, c.K, c.C) : random_mask(c.positions, c.K, c.C, c.kept, 7);
  const Tensor U = masked(random_normal({c.positions, c.K, c.C}, 3), mask);
  const RowPack pack = pack_rows(U, mask, operand, c.slice_channels, factors);
  const PackSize size = pack_size(mask, c.slice_channels);
  EXPECT_EQ(size.slices, static_cast<int>(pack.slices.size()));
  EXPECT_EQ(size.max_items, pack.max_items);
  EXPECT_EQ(size.max_alive, pack.max_alive);
  // A warp for each item, and no fewer warps than hold them all.
  EXPECT_EQ(size.regular_warps[1], pack.max_items);
  EXPECT_GE(size.regular_warps[kMostWarpItems] * kMostWarpItems, pack.max_items);

  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<double> V(static_cast<std::size_t>(c.positions * c.C));
  for (double& v : V) v = normal(random);
  const std::vector<double> got = sums_of(pack, V);
  const auto weights = U.data<float>();
  const double least = factors == Factors::scaled ? 1e-9 : 1e-12;  // low parts of small weights are subnormal
  double error = 0, norm = 0;
  for (std::int64_t row = 0; row < c.positions * c.K; ++row) {
    double want = 0, bound = 0;
    for (std::int64_t i = 0; i < c.C; ++i) {
      const double term = static_cast<double>(weights[static_cast<std::size_t>(row * c.C + i)]) * V[static_cast<std::size_t>(row / c.K * c.C + i)];
      want += term;
      bound += std::fabs(term);
    }
    EXPECT_NEAR(got[static_cast<std::size_t>(row)], want, bound * rounding(operand) + least) << "row " << row;
    error += std::pow(got[static_cast<std::size_t>(row)] - want, 2);
    norm += want * want;
  }
  EXPECT_LE(std::sqrt(error), std::sqrt(norm) * rounding(operand) + least);
}

TEST(RowPack, ItemsMultipliedGiveTheLayersSums) {
  const Case cases[] = {{16, 64, 64, 0.16, 64}, {16, 64, 64, 1.0, 32},  {16, 13, 5, 0.5, 8},  {16, 1, 1, 1.0, 64}, {16, 70, 33, 0.3, 32},
                        {25, 40, 24, 0.2, 16},  {25, 9, 130, 1.0, 8}, {16, 32, 64, 0.0, 32}, {16, 128, 16, 0.02, 64}};
  for (const Case& c : cases) {
    for (const Operand operand : kOperands) {
      SCOPED_TRACE(testing::Message() << c.positions << " positions, K " << c.K << ", C " << c.C << ", operand " << static_cast<int>(operand));
      check(c, operand, Factors::plain);
      if (storage_bytes(operand) == 4) check(c, operand, Factors::scaled);
    }
  }
}

TEST(RowPack, OneRowIsOneItem) {
  Mask mask = Mask::full(Axis::row, 16, 32, 16);
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  mask.keep[5 * 32 + 17] = 1;
  const Tensor U = masked(random_normal({16, 32, 16}, 1), mask);
  const RowPack pack = pack_rows(U, mask, Operand::f16, 32);
  ASSERT_EQ(pack.slices.size(), 1U);
  EXPECT_EQ(pack.slices[0].items, 1);
  EXPECT_EQ(pack.slices[0].alive_mask, 1U << 5);
}

TEST(RowPack, UnevenPositionsCostAtMostOneItemEach) {
  const Mask mask = random_mask(16, 256, 64, 0.3, 11);
  const PackSize size = pack_size(mask, 256);
  EXPECT_LE(size.max_items * kItemRows, mask.kept_total() + 16 * (kItemRows - 1));
}

TEST(RowPack, APowerOfTwoBringsWeightsOfAnySizeIntoFloat16) {
  for (const float size : {1e-30F, 1e-12F, 1.0F, 1e9F, 1e37F}) {
    Tensor U = random_normal({16, 8, 20}, 3);
    for (float& value : U.mutable_data<float>()) value *= size;
    const RowPack pack = pack_rows(U, Mask::full(Axis::row, 16, 8, 20), Operand::f32, 8, Factors::scaled);
    float largest = 0;
    for (const std::uint32_t word : pack.fragments) largest = std::max(largest, std::fabs(from_float16(static_cast<std::uint16_t>(word))));
    EXPECT_GE(largest, 4096) << size;
    EXPECT_LE(largest, 16384) << size;
  }
  EXPECT_EQ(pack_rows(Tensor(DType::f32, {16, 8, 8}), Mask::full(Axis::row, 16, 8, 8), Operand::tf32, 8, Factors::scaled).exponent, 0);
  EXPECT_THROW(pack_rows(Tensor(DType::f32, {16, 8, 8}), Mask::full(Axis::row, 16, 8, 8), Operand::f16, 8, Factors::scaled), Error);
}

TEST(RowPack, RefusesWhatItCannotHold) {
  const Mask mask = Mask::full(Axis::row, 16, 8, 8);
  Tensor U = random_normal({16, 8, 8}, 1);
  U.mutable_data<float>()[3] = 70000.0F;
  EXPECT_THROW(pack_rows(U, mask, Operand::f16, 8), Error);
  EXPECT_NO_THROW(pack_rows(U, mask, Operand::bf16, 8));
  U.mutable_data<float>()[3] = std::nanf("");
  EXPECT_THROW(pack_rows(U, mask, Operand::f32, 8), Error);
  EXPECT_THROW(pack_rows(random_normal({16, 8, 9}, 1), mask, Operand::f32, 8), Error);
  EXPECT_THROW(pack_rows(random_normal({16, 8, 8}, 1), Mask::full(Axis::column, 16, 8, 8), Operand::f32, 8), Error);
  EXPECT_THROW(pack_rows(random_normal({36, 8, 8}, 1), Mask::full(Axis::row, 36, 8, 8), Operand::f32, 8), Error);
}

}  // namespace
}  // namespace wins::runtime::cuda
