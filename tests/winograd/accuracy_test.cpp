// Measured accuracy of the tile sizes in float32, and of the points against the alternatives.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>

#include "reference.hpp"
#include "wins/winograd/exact.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::winograd {
namespace {

std::vector<float> floats(const Tensor& t) {
  const auto values = t.data<float>();
  return {values.begin(), values.end()};
}

Algorithm from_points(int m, int r, const std::vector<Surd>& points) {
  const ExactAlgorithm exact = generate(m, r, points);
  const auto round = [](const ExactMatrix& e) {
    Matrix matrix{e.rows, e.cols, {}};
    for (const Surd& v : e.values) matrix.values.push_back(v.to_double());
    return matrix;
  };
  return {m, r, round(exact.A), round(exact.B), round(exact.G)};
}

/// Relative L2 error of a float32 evaluation (U rounded once, everything else in float32) over
/// `kTiles` random tiles of 64 channels, against float64 direct correlation.
double float32_error(const Algorithm& f) {
  constexpr int kChannels = 64;
  constexpr int kTiles = 60;
  const int p = f.p();
  double error = 0;
  double norm = 0;
  for (int t = 0; t < kTiles; ++t) {
    const auto seed = static_cast<std::uint64_t>(2 * t);
    const auto d = floats(random_normal({kChannels, p, p}, seed));
    const Tensor g = random_normal({1, kChannels, f.r, f.r}, seed + 1);
    const auto y = testing::winograd_tile(f, d, floats(transform_weights(f, g)), kChannels);
    const auto gv = floats(g);
    const auto want = testing::correlate({d.begin(), d.end()}, {gv.begin(), gv.end()}, kChannels, p, f.r);
    for (std::size_t i = 0; i < want.size(); ++i) {
      error += (static_cast<double>(y[i]) - want[i]) * (static_cast<double>(y[i]) - want[i]);
      norm += want[i] * want[i];
    }
  }
  return std::sqrt(error / norm);
}

struct Bound { int m, r; double bound; };

TEST(Accuracy, EachTileSizeStaysBelowItsBound) {
  std::printf("relative L2 error in float32, 64 channels\n");
  for (const auto& [m, r, bound] :
       {Bound{2, 3, 3e-7}, Bound{4, 3, 1e-6}, Bound{6, 3, 4.5e-6}, Bound{4, 4, 3e-6},
        Bound{2, 5, 1e-6}, Bound{4, 5, 4.5e-6}}) {
    const double error = float32_error(algorithm(m, r));
    std::printf("  F(%dx%d, %dx%d)  %.2e\n", m, m, r, r, error);
    EXPECT_LT(error, bound) << m << "," << r;
  }
}

/// 0 and +-x for each x.
std::vector<Surd> symmetric(const std::vector<Surd>& positive) {
  std::vector<Surd> points{Surd(0)};
  for (const Surd& x : positive) {
    points.push_back(x);
    points.push_back(Surd(0) - x);
  }
  return points;
}

TEST(Accuracy, ChosenPointsBeatTheAlternatives) {
  const Surd half(Rational(1, 2));
  const Surd root(Rational(0), Rational(1));
  EXPECT_LT(1.7 * float32_error(algorithm(4, 3)), float32_error(from_points(4, 3, symmetric({1, 2}))));
  EXPECT_LT(1.7 * float32_error(algorithm(4, 3)), float32_error(from_points(4, 3, symmetric({half, 1}))));
  EXPECT_LT(2.0 * float32_error(algorithm(6, 3)),
            float32_error(from_points(6, 3, symmetric({root * half, 1, root}))));
}

}  // namespace
}  // namespace wins::winograd
