#include "wins/winograd/transforms.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "reference.hpp"
#include "wins/base/error.hpp"

namespace wins::winograd {
namespace {

using testing::correlate;
using testing::winograd_tile;

std::vector<double> doubles(const Tensor& t) {
  const auto values = t.data<float>();
  return {values.begin(), values.end()};
}

double relative(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(error / norm);
}

/// U in double, as U[xi * C + c], for one filter g[c][r][r].
std::vector<double> transform_exactly(const Algorithm& algorithm, const std::vector<double>& g, int channels) {
  const int p = algorithm.p();
  const int r = algorithm.r;
  std::vector<double> U(static_cast<std::size_t>(p * p * channels));
  for (int xi = 0; xi < p * p; ++xi) {
    for (int c = 0; c < channels; ++c) {
      double sum = 0;
      for (int y = 0; y < r; ++y) {
        for (int x = 0; x < r; ++x) {
          sum += algorithm.G(xi / p, y) * g[static_cast<std::size_t>((c * r + y) * r + x)] * algorithm.G(xi % p, x);
        }
      }
      U[static_cast<std::size_t>(xi * channels + c)] = sum;
    }
  }
  return U;
}

struct Size { int m, r; };
class Sizes : public ::testing::TestWithParam<Size> {};
INSTANTIATE_TEST_SUITE_P(All, Sizes,
                         ::testing::Values(Size{2, 3}, Size{4, 3}, Size{6, 3}, Size{2, 5}, Size{4, 5}, Size{6, 5},
                                           Size{1, 3}, Size{3, 3}, Size{5, 3}, Size{2, 1}, Size{3, 2}, Size{8, 3}));

TEST_P(Sizes, TileEqualsDirectCorrelationInDouble) {
  const auto [m, r] = GetParam();
  const Algorithm& f = algorithm(m, r);
  const int channels = 3;
  const auto d = doubles(random_normal({channels, f.p(), f.p()}, 1));
  const auto g = doubles(random_normal({channels, r, r}, 2));
  const auto y = winograd_tile(f, d, transform_exactly(f, g, channels), channels);
  EXPECT_LT(relative(y, correlate(d, g, channels, f.p(), r)), 1e-12);
}

TEST_P(Sizes, TransformWeightsRoundsOnce) {
  const auto [m, r] = GetParam();
  const Algorithm& f = algorithm(m, r);
  const Tensor g = random_normal({2, 3, r, r}, 3);
  const Tensor U = transform_weights(f, g);
  ASSERT_EQ(U.shape(), (Shape{f.positions(), 2, 3}));
  const auto values = doubles(g);
  for (int k = 0; k < 2; ++k) {
    const std::vector<double> filter(values.begin() + k * 3 * r * r, values.begin() + (k + 1) * 3 * r * r);
    const auto expected = transform_exactly(f, filter, 3);
    for (int xi = 0; xi < f.positions(); ++xi) {
      for (int c = 0; c < 3; ++c) {
        const double want = expected[static_cast<std::size_t>(xi * 3 + c)];
        const auto got = static_cast<double>(U.data<float>()[static_cast<std::size_t>((xi * 2 + k) * 3 + c)]);
        EXPECT_NEAR(got, want, 6.0e-8 * std::abs(want) + 1e-14);
      }
    }
  }
}

// The bits of the plain loops: first down the columns of g, then along the rows, each sum from its first term on.
TEST_P(Sizes, TransformWeightsGivesTheBitsOfPlainLoops) {
  const auto [m, r] = GetParam();
  const Algorithm& f = algorithm(m, r);
  const std::int64_t K = 7, C = 41;  // more filters than are transformed at once, and a rest
  ASSERT_GT(K * C, 2 * kFiltersAtOnce);
  const Tensor g = random_normal({K, C, r, r}, 8, 0.1F);
  const Tensor U = transform_weights(f, g);
  for (std::int64_t filter = 0; filter < K * C; ++filter) {
    const float* taps = g.data<float>().data() + filter * r * r;
    for (int i = 0; i < f.p(); ++i) {
      for (int j = 0; j < f.p(); ++j) {
        double sum = 0;
        for (int x = 0; x < r; ++x) {
          double column = 0;
          for (int y = 0; y < r; ++y) column += f.G(i, y) * static_cast<double>(taps[y * r + x]);
          sum += column * f.G(j, x);
        }
        const auto at = static_cast<std::size_t>((i * f.p() + j) * K * C + filter);
        ASSERT_EQ(U.data<float>()[at], static_cast<float>(sum)) << "filter " << filter << " position " << i << ", " << j;
      }
    }
  }
}

TEST(TransformFilters, RefusesMoreThanItTakesAtOnce) {
  EXPECT_THROW(transform_filters(algorithm(2, 3), nullptr, kFiltersAtOnce + 1, nullptr), Error);
}

// The formula of the equivalent convolution, with random (pruned) U that is no G g G^T.
TEST_P(Sizes, EquivalentConvolutionGivesTheSameTile) {
  const auto [m, r] = GetParam();
  const Algorithm& f = algorithm(m, r);
  const int p = f.p();
  const int C = 2;
  const int K = 2;
  Tensor U = random_normal({p * p, K, C}, 4);
  auto u = U.mutable_data<float>();
  for (std::size_t i = 0; i < u.size(); i += 3) u[i] = 0;
  const Tensor W = equivalent_convolution(f, U);
  ASSERT_EQ(W.shape(), (Shape{K * m * m, C, p, p}));
  const auto w = doubles(W);
  const auto d = doubles(random_normal({C, p, p}, 5));
  for (int k = 0; k < K; ++k) {
    std::vector<double> Uk;
    for (int xi = 0; xi < p * p; ++xi) {
      for (int c = 0; c < C; ++c) Uk.push_back(u[static_cast<std::size_t>((xi * K + k) * C + c)]);
    }
    const auto y = winograd_tile(f, d, Uk, C);
    std::vector<double> conv(y.size(), 0.0);
    for (int ab = 0; ab < m * m; ++ab) {
      for (int i = 0; i < C * p * p; ++i) {
        conv[static_cast<std::size_t>(ab)] += w[static_cast<std::size_t>((k * m * m + ab) * C * p * p + i)] *
                                              d[static_cast<std::size_t>(i)];
      }
    }
    EXPECT_LT(relative(conv, y), 3e-7);
  }
}

// The same formula, coefficient by coefficient, straight from its definition.
TEST(EquivalentConvolution, MatchesItsFormula) {
  const Algorithm& f = algorithm(2, 3);
  const Tensor U = random_normal({16, 1, 1}, 6);
  const Tensor W = equivalent_convolution(f, U);
  for (int a = 0; a < 2; ++a) for (int b = 0; b < 2; ++b) for (int y = 0; y < 4; ++y) for (int x = 0; x < 4; ++x) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) {
        sum += f.A(i, a) * f.A(j, b) * U.data<float>()[static_cast<std::size_t>(i * 4 + j)] * f.B(y, i) * f.B(x, j);
      }
    }
    EXPECT_NEAR(W.data<float>()[static_cast<std::size_t>(((a * 2 + b) * 4 + y) * 4 + x)], sum, 1e-6);
  }
}

TEST(Algorithm, F23HasTheKnownMatrices) {
  const Algorithm& f = algorithm(2, 3);
  EXPECT_EQ(f.A.values, (std::vector<double>{1, 0, 1, 1, 1, -1, 0, 1}));
  EXPECT_EQ(f.G.values, (std::vector<double>{1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1}));
  EXPECT_EQ(f.B.values, (std::vector<double>{1, 0, 0, 0, 0, 1, -1, -1, -1, 1, 1, 0, 0, 0, 0, 1}));
}

// On small integers everything in F(2,3) is a multiple of 1/4 far below 2^24: no rounding at all.
TEST(Algorithm, F23IsExactOnSmallIntegersInFloat32) {
  const Algorithm& f = algorithm(2, 3);
  const int channels = 8;
  std::vector<float> d, U;
  std::vector<double> dd, g;
  for (int i = 0; i < channels * 16; ++i) dd.push_back((i * 37 + 11) % 17 - 8);
  for (int i = 0; i < channels * 9; ++i) g.push_back((i * 23 + 5) % 13 - 6);
  for (const double v : dd) d.push_back(static_cast<float>(v));
  for (const double v : transform_exactly(f, g, channels)) U.push_back(static_cast<float>(v));
  const auto y = winograd_tile(f, d, U, channels);
  const auto want = correlate(dd, g, channels, 4, 3);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(static_cast<double>(y[i]), want[i]);
}

TEST(Algorithm, IsCachedAndRefusesOtherSizes) {
  EXPECT_EQ(&algorithm(2, 3), &algorithm(2, 3));
  EXPECT_THROW(algorithm(0, 3), Error);
  EXPECT_THROW(algorithm(2, 0), Error);
  EXPECT_THROW(algorithm(9, 3), Error);
  EXPECT_THROW(algorithm(2147483647, 2147483647), Error);
}

TEST(TransformWeights, RejectsOtherShapesAndTypes) {
  const Algorithm& f = algorithm(2, 3);
  EXPECT_THROW(transform_weights(f, Tensor()), Error);
  EXPECT_THROW(transform_weights(f, Tensor(DType::f32, {2, 2, 5, 5})), Error);
  EXPECT_THROW(transform_weights(f, Tensor(DType::f64, {2, 2, 3, 3})), Error);
  EXPECT_THROW(equivalent_convolution(f, Tensor(DType::f32, {36, 2, 2})), Error);
}

TEST(TileGrid, CoversTheOutput) {
  const TileGrid grid = tile_grid(4, 7, 9);
  EXPECT_EQ(grid.rows, 2);
  EXPECT_EQ(grid.cols, 3);
  EXPECT_EQ(grid.count(), 6);
  EXPECT_EQ(tile_grid(2, 8, 8).count(), 16);
  EXPECT_EQ(tile_grid(2, 0, 8).count(), 0);
  EXPECT_THROW(tile_grid(0, 8, 8), Error);
}

}  // namespace
}  // namespace wins::winograd
