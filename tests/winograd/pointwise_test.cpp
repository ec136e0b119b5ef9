#include "wins/winograd/pointwise.hpp"

#include <gtest/gtest.h>

#include "reference.hpp"
#include "wins/base/error.hpp"

namespace wins::winograd {
namespace {

TEST(Pointwise, FourOfSixteenPositions) {
  const Mask mask = pointwise_mask(algorithm(2, 3), 3, 5);
  for (int xi = 0; xi < 16; ++xi) {
    const bool inner = xi == 5 || xi == 6 || xi == 9 || xi == 10;
    EXPECT_EQ(mask.kept_in(xi), inner ? 3 : 0) << xi;
  }
  EXPECT_EQ(pointwise_mask(algorithm(4, 3), 1, 1).kept_total(), 16);
  EXPECT_EQ(pointwise_mask(algorithm(6, 3), 2, 1).kept_total(), 72);
}

/// Tiles of the layer give each pixel's own channels times the weights.
TEST(Pointwise, GivesWhatTheConvolutionGives) {
  constexpr int kFilters = 3, kChannels = 4;
  const Tensor weights = random_normal({kFilters, kChannels, 1, 1}, 1);
  const auto w = weights.data<float>();
  for (const int m : {2, 4, 6}) {
    const Algorithm& a = algorithm(m, 3);
    const Tensor U = transform_pointwise(a, weights);
    const Mask mask = pointwise_mask(a, kFilters, kChannels);
    ASSERT_EQ(U.shape(), (Shape{a.positions(), kFilters, kChannels}));
    const Tensor tile = random_normal({kChannels, a.p(), a.p()}, 2);
    const std::vector<double> pixels(tile.data<float>().begin(), tile.data<float>().end());
    for (int k = 0; k < kFilters; ++k) {
      std::vector<double> of_filter;
      for (int xi = 0; xi < a.positions(); ++xi) {
        for (int c = 0; c < kChannels; ++c) {
          const float u = U.data<float>()[static_cast<std::size_t>((xi * kFilters + k) * kChannels + c)];
          EXPECT_TRUE(u == 0 || mask.kept(xi, k)) << "position " << xi;
          of_filter.push_back(u);
        }
      }
      const std::vector<double> y = testing::winograd_tile<double>(a, pixels, of_filter, kChannels);
      for (int at = 0; at < m * m; ++at) {
        double sum = 0;
        for (int c = 0; c < kChannels; ++c) sum += w[static_cast<std::size_t>(k * kChannels + c)] * pixels[static_cast<std::size_t>((c * a.p() + at / m + 1) * a.p() + at % m + 1)];
        EXPECT_NEAR(y[static_cast<std::size_t>(at)], sum, 1e-5) << "m " << m << " filter " << k << " output " << at;
      }
    }
  }
}

TEST(Pointwise, RowsAndFiltersOfBoth) {
  Mask first = Mask::full(Axis::row, 2, 2, 3), second = Mask::full(Axis::row, 2, 1, 3);
  first.keep = {1, 0, 0, 1};
  second.keep = {0, 1};
  const Mask both = join_rows(first, second);
  EXPECT_EQ(both.rows, 3);
  EXPECT_EQ(both.keep, (std::vector<std::uint8_t>{1, 0, 0, 0, 1, 1}));
  const Tensor a = random_normal({2, 2, 3}, 1), b = random_normal({2, 1, 3}, 2), joined = join_filters(a, b);
  ASSERT_EQ(joined.shape(), (Shape{2, 3, 3}));
  const auto x = a.data<float>(), y = b.data<float>(), z = joined.data<float>();
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(z[i], x[i]);
    EXPECT_EQ(z[9 + i], x[6 + i]);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(z[6 + i], y[i]);
    EXPECT_EQ(z[15 + i], y[3 + i]);
  }
}

TEST(Pointwise, RefusesWhatDoesNotFit) {
  EXPECT_THROW(pointwise_mask(algorithm(2, 3, 2), 1, 1), Error);
  EXPECT_THROW(pointwise_mask(algorithm(2, 2), 1, 1), Error);
  EXPECT_THROW(transform_pointwise(algorithm(2, 3), random_normal({2, 2, 3, 3}, 1)), Error);
  EXPECT_THROW(join_rows(Mask::full(Axis::row, 16, 2, 3), Mask::full(Axis::row, 16, 2, 4)), Error);
  EXPECT_THROW(join_rows(Mask::full(Axis::row, 16, 2, 3), Mask::full(Axis::column, 16, 2, 3)), Error);
  EXPECT_THROW(join_filters(random_normal({16, 2, 3}, 1), random_normal({16, 2, 4}, 1)), Error);
}

}  // namespace
}  // namespace wins::winograd
