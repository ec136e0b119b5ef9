#include "wins/pruning/methods.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "wins/base/error.hpp"
#include "wins/base/tensor.hpp"

namespace wins::pruning {
namespace {

using winograd::Axis;
using winograd::Mask;
using Keep = std::vector<std::uint8_t>;

constexpr double kPruned = -std::numeric_limits<double>::infinity();

Selection make(int positions, std::int64_t rows, double ratio) {
  Selection selection;
  selection.positions = positions;
  selection.rows = rows;
  selection.columns = 4;
  selection.ratio = ratio;
  return selection;
}

std::vector<double> random_scores(std::int64_t count, std::uint64_t seed) {
  const Tensor t = random_normal({count}, seed);
  std::vector<double> scores;
  for (const float v : t.data<float>()) scores.push_back(std::abs(static_cast<double>(v)));
  return scores;
}

std::vector<std::int64_t> heights(const Mask& mask) {
  std::vector<std::int64_t> result;
  for (int xi = 0; xi < mask.positions; ++xi) result.push_back(mask.kept_in(xi));
  return result;
}

TEST(Names, RoundTripAndListOnError) {
  for (const char* name : {"dense", "wins", "wins-b", "wins-ab", "fp", "wwp"}) {
    EXPECT_EQ(to_string(parse_method(name)), name);
  }
  EXPECT_THROW(parse_method("WINS"), UsageError);
}

TEST(Wins, RanksAllPositionsTogether) {
  //                                 position 0  position 1  position 2
  const std::vector<double> scores{9, 8, 7,    1, 2, 3,    4, 6, 5};
  EXPECT_EQ(select_wins(make(3, 3, 4.0 / 9), scores).keep, (Keep{1, 1, 1, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(select_wins(make(3, 3, 0), scores).keep, Keep(9, 1));
}

TEST(Wins, TiesTakeTheLowerIndexFirst) {
  EXPECT_EQ(select_wins(make(2, 3, 0.5), std::vector<double>(6, 1.0)).keep, (Keep{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(select_wins(make(2, 3, 0.5), {1, 1, 2, 1, 2, 1}).keep, (Keep{0, 0, 1, 0, 1, 1}));
}

TEST(Wins, FloorsHold) {
  const std::vector<double> scores{9, 8, 7, 1, 2, 3, 4, 6, 5};
  Selection selection = make(3, 3, 5.0 / 9);
  selection.min_per_position = 1;
  const Mask mask = select_wins(selection, scores);
  EXPECT_EQ(mask.keep, (Keep{1, 1, 0, 0, 0, 1, 0, 1, 0}));  // still 5 removed: the next worst went instead
  selection.min_total = 8;
  EXPECT_EQ(select_wins(selection, scores).kept_total(), 8);
}

TEST(Wins, NeverEmptiesALayer) {
  EXPECT_EQ(select_wins(make(2, 2, 0.99), {1, 2, 3, 4}).keep, (Keep{0, 0, 0, 1}));
}

TEST(Wins, RoundingKeepsWholeBlocksAndTheRatio) {
  const auto scores = random_scores(16 * 64, 3);
  for (const std::int64_t block : {4, 8, 16}) {
    for (const double ratio : {0.1, 0.5, 0.84, 0.9}) {
      Selection selection = make(16, 64, ratio);
      selection.round_to = block;
      const Mask mask = select_wins(selection, scores);
      for (const std::int64_t height : heights(mask)) EXPECT_EQ(height % block, 0);
      const std::int64_t wanted = 16 * 64 - std::llround(ratio * 16 * 64);
      EXPECT_GE(mask.kept_total(), wanted);
      EXPECT_LT(mask.kept_total(), wanted + block);
    }
  }
}

TEST(Wins, RoundingGivesBackTheCheapestBlock) {
  // 4 of 8 wanted; counts 3 + 1 are rounded up to 4 + 2, then the cheaper pair (7 + 1, not 6 + 3) goes back.
  Selection selection = make(2, 4, 0.5);
  selection.round_to = 2;
  EXPECT_EQ(select_wins(selection, {9, 8, 7, 1, 6, 3, 0, 0}).keep, (Keep{1, 1, 0, 0, 1, 1, 0, 0}));
  // A count that is no multiple stays possible when everything is kept.
  Selection odd = make(1, 5, 0);
  odd.round_to = 4;
  EXPECT_EQ(select_wins(odd, {1, 2, 3, 4, 5}).kept_total(), 5);
}

TEST(WinsB, KeepsEqualHeights) {
  const std::vector<double> scores{9, 8, 7, 1, 2, 3, 4, 6, 5};
  EXPECT_EQ(select_wins_b(make(3, 3, 1.0 / 3), scores).keep, (Keep{1, 1, 0, 0, 1, 1, 0, 1, 1}));
  EXPECT_EQ(select_wins_b(make(3, 3, 2.0 / 3), scores).keep, (Keep{1, 0, 0, 0, 0, 1, 0, 1, 0}));
  EXPECT_EQ(heights(select_wins_b(make(3, 3, 0.99), scores)), (std::vector<std::int64_t>{1, 1, 1}));
  Selection rounded = make(3, 3, 2.0 / 3);
  rounded.round_to = 2;
  EXPECT_EQ(heights(select_wins_b(rounded, scores)), (std::vector<std::int64_t>{2, 2, 2}));
  Selection floored = make(3, 3, 2.0 / 3);
  floored.min_total = 5;
  EXPECT_EQ(heights(select_wins_b(floored, scores)), (std::vector<std::int64_t>{2, 2, 2}));
}

TEST(WinsB, RefusesAnUnevenStart) {
  const std::vector<double> scores{kPruned, kPruned, kPruned, 1, 2, 3};
  EXPECT_THROW(select_wins_b(make(2, 3, 0.3), scores), Error);
}

TEST(Fp, RemovesWholeFilters) {
  const Mask mask = select_fp(make(4, 3, 1.0 / 3), {5, 1, 7});
  EXPECT_EQ(mask.keep, (Keep{1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1}));
  EXPECT_EQ(select_fp(make(4, 3, 0.99), {5, 1, 7}).kept_total(), 4);
  Selection column = make(4, 3, 0.5);
  column.axis = Axis::column;
  EXPECT_THROW(select_fp(column, {1, 2, 3, 4}), Error);
}

TEST(Wwp, RemovesSingleWeights) {
  Selection selection = make(2, 2, 0.5);
  selection.columns = 2;
  selection.axis = Axis::element;
  const Mask mask = select_wwp(selection, {8, 1, 2, 7, 3, 6, 5, 4});
  EXPECT_EQ(mask.keep, (Keep{1, 0, 0, 1, 0, 1, 1, 0}));
  EXPECT_FALSE(mask.weight_kept(0, 0, 1));
  EXPECT_TRUE(mask.weight_kept(1, 1, 0));
  selection.round_to = 4;
  EXPECT_THROW(select_wwp(selection, random_scores(8, 1)), Error);
  EXPECT_THROW(select_wwp(make(2, 2, 0.5), random_scores(4, 1)), Error);
}

TEST(Selections, ColumnsAreUnitsOfTheirOwn) {
  Selection selection = make(2, 5, 0.5);
  selection.columns = 2;
  selection.axis = Axis::column;
  const Mask mask = select_wins(selection, {4, 1, 2, 3});
  EXPECT_EQ(mask.keep, (Keep{1, 0, 0, 1}));
  EXPECT_DOUBLE_EQ(mask.pruning_ratio(), 0.5);
  for (std::int64_t k = 0; k < 5; ++k) EXPECT_FALSE(mask.weight_kept(0, k, 1));
}

TEST(Selections, RejectNonsense) {
  const std::vector<double> scores{1, 2, 3, 4};
  for (const double ratio : {-0.1, 1.0, 2.0, std::nan("")}) {
    EXPECT_THROW(select_wins(make(2, 2, ratio), scores), Error) << ratio;
    EXPECT_THROW(select_wins_b(make(2, 2, ratio), scores), Error) << ratio;
    EXPECT_THROW(select_fp(make(2, 2, ratio), {1, 2}), Error) << ratio;
  }
  EXPECT_THROW(select_wins(make(2, 3, 0.5), scores), Error);
  EXPECT_THROW(select_wins(make(0, 2, 0.5), {}), Error);
  EXPECT_THROW(select_wins(make(2, 2, 0.5), {1, 2, 3, std::nan("")}), Error);
  Selection selection = make(2, 2, 0.5);
  selection.min_per_position = 3;
  EXPECT_THROW(select_wins(selection, scores), Error);
  selection = make(2, 2, 0.5);
  selection.round_to = 0;
  EXPECT_THROW(select_wins(selection, scores), Error);
}

class Ratios : public ::testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(All, Ratios, ::testing::Values(0.0, 0.01, 0.28, 0.5, 0.7, 0.84, 0.9, 0.97));

TEST_P(Ratios, CountsAreExact) {
  const double ratio = GetParam();
  const std::int64_t K = 37;
  const auto scores = random_scores(16 * K, 5);
  EXPECT_EQ(select_wins(make(16, K, ratio), scores).kept_total(), 16 * K - std::llround(ratio * 16 * K));
  const std::int64_t height = K - std::llround(ratio * K);
  EXPECT_EQ(heights(select_wins_b(make(16, K, ratio), scores)), std::vector<std::int64_t>(16, height));
  EXPECT_EQ(select_fp(make(16, K, ratio), random_scores(K, 6)).kept_total(), 16 * height);
  Selection elements = make(16, K, ratio);
  elements.axis = Axis::element;
  EXPECT_EQ(select_wwp(elements, random_scores(16 * K * 4, 7)).kept_total(),
            16 * K * 4 - std::llround(ratio * 16 * K * 4));
}

TEST_P(Ratios, KeepsTheHighestScores) {
  const auto scores = random_scores(16 * 20, 8);
  const Mask mask = select_wins(make(16, 20, GetParam()), scores);
  double lowest_kept = std::numeric_limits<double>::infinity();
  double highest_removed = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (mask.keep[i] != 0) lowest_kept = std::min(lowest_kept, scores[i]);
    else highest_removed = std::max(highest_removed, scores[i]);
  }
  EXPECT_GE(lowest_kept, highest_removed);
}

TEST_P(Ratios, IsMonotoneAndDeterministic) {
  const auto scores = random_scores(16 * 20, 9);
  const Mask less = select_wins(make(16, 20, GetParam()), scores);
  const Mask more = select_wins(make(16, 20, std::min(0.98, GetParam() + 0.1)), scores);
  EXPECT_EQ(less, select_wins(make(16, 20, GetParam()), scores));
  for (std::size_t i = 0; i < less.keep.size(); ++i) EXPECT_LE(more.keep[i], less.keep[i]);
}

TEST_P(Ratios, PositionFloorsHoldAndTheTotalStaysExact) {
  Selection selection = make(16, 20, GetParam());
  selection.min_per_position = 2;
  auto scores = random_scores(16 * 20, 10);
  for (std::size_t i = 0; i < 60; ++i) scores[i] *= 1e-6;  // three positions that would die
  const Mask mask = select_wins(selection, scores);
  for (const std::int64_t height : heights(mask)) EXPECT_GE(height, 2);
  EXPECT_EQ(mask.kept_total(), std::max<std::int64_t>(32, 320 - std::llround(GetParam() * 320)));
}

TEST_P(Ratios, StepsOnlyRemoveKeptUnits) {
  auto scores = random_scores(16 * 20, 11);
  const Mask first = select_wins(make(16, 20, 0.5), scores);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = first.keep[i] != 0 ? random_scores(1, 100 + i)[0] : kPruned;  // ranked anew
  }
  const Mask second = select_wins(make(16, 20, GetParam()), scores);
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_LE(second.keep[i], first.keep[i]);
  EXPECT_EQ(second.kept_total(), std::min<std::int64_t>(160, 320 - std::llround(GetParam() * 320)));
}

}  // namespace
}  // namespace wins::pruning
