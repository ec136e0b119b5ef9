#include "wins/winograd/mask.hpp"

#include <gtest/gtest.h>

#include "wins/base/error.hpp"

namespace wins::winograd {
namespace {

TEST(Mask, FullKeepsEverything) {
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    const Mask mask = Mask::full(axis, 16, 3, 5);
    EXPECT_EQ(mask.kept_total(), static_cast<std::int64_t>(mask.keep.size()));
    EXPECT_EQ(mask.units() * mask.unit_weights(), 15);
    EXPECT_EQ(mask.pruning_ratio(), 0);
    EXPECT_EQ(mask.kept_in(7), mask.units());
    EXPECT_TRUE(mask.weight_kept(15, 2, 4));
  }
  EXPECT_THROW(Mask::full(Axis::row, 16, -1, 5), Error);
}

TEST(Mask, WeightKeptFollowsTheAxis) {
  Mask rows = Mask::full(Axis::row, 4, 2, 3);
  rows.keep[static_cast<std::size_t>(1 * 2 + 1)] = 0;  // position 1, row 1
  Mask columns = Mask::full(Axis::column, 4, 2, 3);
  columns.keep[static_cast<std::size_t>(1 * 3 + 2)] = 0;  // position 1, column 2
  Mask elements = Mask::full(Axis::element, 4, 2, 3);
  elements.keep[static_cast<std::size_t>(1 * 6 + 1 * 3 + 2)] = 0;  // position 1, row 1, column 2
  for (std::int64_t k = 0; k < 2; ++k) {
    for (std::int64_t c = 0; c < 3; ++c) {
      EXPECT_EQ(rows.weight_kept(1, k, c), k != 1);
      EXPECT_EQ(columns.weight_kept(1, k, c), c != 2);
      EXPECT_EQ(elements.weight_kept(1, k, c), !(k == 1 && c == 2));
      EXPECT_TRUE(rows.weight_kept(0, k, c));
    }
  }
  EXPECT_EQ(rows.kept_in(1), 1);
  EXPECT_EQ(rows.kept_total(), 7);
  EXPECT_DOUBLE_EQ(rows.pruning_ratio(), 1.0 / 8);
  EXPECT_DOUBLE_EQ(columns.pruning_ratio(), 1.0 / 12);
  EXPECT_DOUBLE_EQ(elements.pruning_ratio(), 1.0 / 24);
}

}  // namespace
}  // namespace wins::winograd
