// The packed rows multiplied by plain loops, and gathered by the table of columns, against U in double.
#include "wins/runtime/cuda/staged_pack.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

using winograd::Axis;
using winograd::Mask;

/// The sum of the parts; with `row` counted from the position's first.
double weight_at(const StagedPack& pack, const StagedPosition& position, std::int64_t row, std::int64_t c) {
  const auto bytes = static_cast<std::size_t>(storage_bytes(pack.operand));
  const std::int64_t per_unit = unit_channels(pack.operand), unit = c / per_unit, parts = pack.operand == Operand::f32 ? 2 : 1;
  double sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    std::int64_t at = position.first_item * pack.chunks + unit / 8 * position.items() + row / 8;  // items of a chunk
    at = ((at * parts + part) * 8 + unit % 8) * 8 + row % 8;                                      // 16 bytes
    std::uint32_t bits = 0;
    std::memcpy(&bits, &pack.weights.at(static_cast<std::size_t>(at) * 16 + static_cast<std::size_t>(c % per_unit) * bytes), bytes);
    if (pack.operand == Operand::f16) sum += static_cast<double>(from_float16(static_cast<std::uint16_t>(bits)));
    else if (pack.operand == Operand::bf16) sum += static_cast<double>(from_bfloat16(static_cast<std::uint16_t>(bits)));
    else sum += static_cast<double>(std::bit_cast<float>(bits));
  }
  return sum;
}

const StagedPosition* position_of(const StagedPack& pack, int xi) {
  const auto found = std::ranges::find(pack.alive, xi, &StagedPosition::xi);
  return found != pack.alive.end() ? &*found : nullptr;
}

/// The row of M of an output channel, found as the output transform finds it; -1 when it has none.
std::int64_t row_of(const StagedPack& pack, int xi, std::int64_t k) {
  const int bit = static_cast<int>(k % kStagedGroup);
  const std::uint32_t word = pack.groups.at(static_cast<std::size_t>(xi * pack.group_count() + k / kStagedGroup));
  if ((word >> bit & 1U) == 0) return -1;
  return static_cast<std::int64_t>(word >> 16) + std::popcount(word & ((1U << bit) - 1));
}

/// Positions keep nothing, everything, one row and random shares, in turn.
Mask varied_mask(int positions, std::int64_t K, std::int64_t C) {
  Mask mask = Mask::full(Axis::row, positions, K, C);
  std::mt19937 random(5);
  for (int xi = 0; xi < positions; ++xi) {
    for (std::int64_t k = 0; k < K; ++k) {
      const bool keep = xi % 4 == 0 ? false : xi % 4 == 1 ? true : xi % 4 == 2 ? k == xi % K : random() % 3 == 0;
      mask.keep[static_cast<std::size_t>(xi * K + k)] = keep ? 1 : 0;
    }
  }
  return mask;
}

TEST(StagedPack, MultipliedAndGatheredGivesTheSumsOfKeptRows) {
  const std::int64_t shapes[][3] = {{16, 64, 64}, {36, 33, 20}, {25, 7, 3}, {36, 1, 1}, {16, 130, 17}};
  for (const auto& [positions, K, C] : shapes) {
    const Tensor U = random_normal({positions, K, C}, 3);
    const auto u = U.data<float>();
    const Mask mask = varied_mask(static_cast<int>(positions), K, C);
    for (const auto& [operand, rounding] :
         {std::pair{Operand::f16, 0x1p-11}, std::pair{Operand::bf16, 0x1p-8}, std::pair{Operand::tf32, 0x1p-11}, std::pair{Operand::f32, 0x1p-22}}) {
      SCOPED_TRACE(to_string(U.shape()) + " operand " + std::to_string(static_cast<int>(operand)));
      const StagedPack pack = pack_staged(U, mask, operand), size = staged_size(mask, operand);
      EXPECT_EQ(size.rows, pack.rows);
      EXPECT_EQ(size.alive_mask(), pack.alive_mask());
      EXPECT_EQ(size.chunks, (C + unit_channels(operand) * 8 - 1) / (unit_channels(operand) * 8));
      for (int xi = 0; xi < mask.positions; ++xi) {
        EXPECT_EQ(pack.alive_mask() >> xi & 1U, mask.kept_in(xi) > 0 ? 1U : 0U);
        for (std::int64_t k = 0; k < K; ++k) {
          const std::int64_t row = row_of(pack, xi, k);
          EXPECT_EQ(row >= 0, mask.kept(xi, k));
          if (row < 0) continue;
          const StagedPosition* position = position_of(pack, xi);
          ASSERT_NE(position, nullptr);
          // Channels that fill up a chunk too.
          for (std::int64_t c = 0; c < pack.chunks * 8 * unit_channels(operand); ++c) {
            const double want = c < C ? static_cast<double>(u[static_cast<std::size_t>((xi * K + k) * C + c)]) : 0;
            // Half of float16's last bit where it is subnormal.
            EXPECT_NEAR(weight_at(pack, *position, row - position->first_row, c), want, std::max(std::fabs(want) * rounding, operand == Operand::f16 ? 0x1p-25 : 0.0));
          }
        }
      }
    }
  }
}

TEST(StagedPack, PositionsFollowEachOther) {
  const Mask mask = varied_mask(36, 21, 12);
  const StagedPack pack = pack_staged(random_normal({36, 21, 12}, 1), mask, Operand::f16);
  std::int32_t row = 0, item = 0;
  for (const StagedPosition& position : pack.alive) {
    EXPECT_EQ(position.first_row, row);
    EXPECT_EQ(position.first_item, item);
    item += position.items();
    EXPECT_EQ(position.rows, mask.kept_in(position.xi));
    row += position.rows;
  }
  EXPECT_EQ(row, pack.rows);
  EXPECT_EQ(pack.weights.size(), static_cast<std::size_t>(item * pack.chunks) * 8 * 8 * 16);
}

TEST(StagedPack, AnEmptyMaskHasNoProducts) {
  Mask mask = Mask::full(Axis::row, 16, 24, 8);
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  const StagedPack pack = pack_staged(random_normal({16, 24, 8}, 1), mask, Operand::f32);
  EXPECT_TRUE(pack.alive.empty());
  EXPECT_TRUE(pack.weights.empty());
  EXPECT_EQ(pack.groups, std::vector<std::uint32_t>(16 * 6, 0));
}

TEST(StagedPack, RefusesWhatDoesNotFit) {
  Tensor U = random_normal({16, 4, 4}, 1);
  const Mask mask = Mask::full(Axis::row, 16, 4, 4);
  U.mutable_data<float>()[7] = -1e5F;
  EXPECT_THROW(pack_staged(U, mask, Operand::f16), Error);
  EXPECT_NO_THROW(pack_staged(U, mask, Operand::bf16));
  for (const Operand operand : {Operand::f16, Operand::bf16, Operand::tf32, Operand::f32}) {
    U.mutable_data<float>()[7] = std::nanf("");
    EXPECT_THROW(pack_staged(U, mask, operand), Error);
    U.mutable_data<float>()[7] = std::numeric_limits<float>::infinity();
    EXPECT_THROW(pack_staged(U, mask, operand), Error);
  }
  EXPECT_THROW(pack_staged(random_normal({16, 4, 5}, 1), mask, Operand::f32), Error);
  EXPECT_THROW(pack_staged(random_normal({16, 4, 4}, 1), Mask::full(Axis::column, 16, 4, 4), Operand::f32), Error);
  EXPECT_THROW(pack_staged(random_normal({64, 4, 4}, 1), Mask::full(Axis::row, 64, 4, 4), Operand::f32), Error);
}

}  // namespace
}  // namespace wins::runtime::cuda
