#include "wins/winograd/exact.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "wins/base/error.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::winograd {
namespace {

Surd surd(Rational a, Rational b) { return Surd(a, b); }

TEST(Rational, IsAlwaysInLowestTerms) {
  EXPECT_EQ(Rational(6, -4), Rational(-3, 2));
  EXPECT_EQ(Rational(1, 6) + Rational(1, 3), Rational(1, 2));
  EXPECT_EQ(Rational(1, 6) - Rational(1, 6), Rational(0));
  EXPECT_EQ(Rational(2, 3) * Rational(9, 4), Rational(3, 2));
  EXPECT_EQ(Rational(2, 3) / Rational(-4, 9), Rational(-3, 2));
}

TEST(Rational, OverflowAndZeroDenominatorsAreErrors) {
  const Rational big(INT64_MAX);
  EXPECT_THROW(big + Rational(1), Error);
  EXPECT_THROW(big * Rational(2), Error);
  EXPECT_THROW(Rational(1, 0), Error);
  EXPECT_THROW(Rational(1) / Rational(0), Error);
}

TEST(Surd, FieldArithmetic) {
  const Surd root = surd(0, 1);
  EXPECT_EQ(root * root, Surd(2));
  EXPECT_EQ(Surd(1) / root, surd(0, Rational(1, 2)));
  const Surd x = surd(Rational(1, 3), Rational(-2, 5));
  EXPECT_EQ(x / x, Surd(1));
  EXPECT_EQ((x + root) - root, x);
  EXPECT_THROW(x / Surd(0), Error);
}

TEST(Surd, SignIsExact) {
  EXPECT_EQ(sign(Surd(0)), 0);
  EXPECT_EQ(sign(surd(-1, 1)), 1);
  EXPECT_EQ(sign(surd(3, -2)), 1);
  EXPECT_EQ(sign(surd(7, -5)), -1);
  // Neighbouring convergents of sqrt(2): p^2 - 2 q^2 = 1 and -1, the difference is 1e-15.
  EXPECT_EQ(sign(surd(Rational(22619537, 15994428), -1)), 1);
  EXPECT_EQ(sign(surd(Rational(9369319, 6625109), -1)), -1);
}

TEST(Surd, RoundsToTheNearestDouble) {
  EXPECT_EQ(surd(0, 1).to_double(), std::sqrt(2.0));
  EXPECT_EQ(surd(0, Rational(1, 2)).to_double(), std::sqrt(0.5));
  EXPECT_EQ(surd(Rational(1, 3), 0).to_double(), 1.0 / 3.0);
  // sqrt(18) = 3 sqrt(2), 3 - 2 sqrt(2) = (sqrt(2) - 1)^2 = 1 / (3 + 2 sqrt(2)).
  EXPECT_EQ(surd(0, 3).to_double(), std::sqrt(18.0));
  EXPECT_DOUBLE_EQ(surd(3, -2).to_double(), 1.0 / (3.0 + 2.0 * std::sqrt(2.0)));
}

TEST(Generate, IdentityHoldsExactlyForEverySize) {
  for (int m = 1; m <= 10; ++m) {
    for (int r = 1; m + r - 1 <= 10; ++r) {
      EXPECT_TRUE(identity_holds(generate(m, r, interpolation_points(m + r - 1)))) << m << "," << r;
    }
  }
}

TEST(Generate, AWrongEntryBreaksTheIdentity) {
  ExactAlgorithm broken = generate(4, 3, interpolation_points(6));
  broken.B(2, 1) = broken.B(2, 1) + Surd(Rational(1, 1000000));
  EXPECT_FALSE(identity_holds(broken));
}

TEST(Generate, RejectsBadPoints) {
  EXPECT_THROW(generate(2, 3, {Surd(0), Surd(1), Surd(1)}), Error);
  EXPECT_THROW(generate(2, 3, {Surd(0), Surd(1)}), Error);
  EXPECT_THROW(generate(0, 3, {Surd(0)}), Error);
  EXPECT_THROW(interpolation_points(11), Error);
}

// Whether `d` is the nearest double to `x`: |x - d| <= |x - neighbour| on both sides, decided
// exactly through midpoints with few enough bits (the entries are short).
TEST(Algorithm, DoublesAreTheRoundedExactValues) {
  for (const auto& [m, r] : {std::pair{2, 3}, {4, 3}, {6, 3}, {2, 5}, {4, 5}, {6, 5}}) {
    const ExactAlgorithm exact = generate(m, r, interpolation_points(m + r - 1));
    const Algorithm& rounded = algorithm(m, r);
    const auto check = [](const ExactMatrix& e, const Matrix& d) {
      ASSERT_EQ(e.rows, d.rows);
      ASSERT_EQ(e.cols, d.cols);
      for (std::size_t i = 0; i < e.values.size(); ++i) {
        const auto number = [](const Rational& q) {
          return static_cast<long double>(q.numerator()) / static_cast<long double>(q.denominator());
        };
        const long double value = number(e.values[i].a) + number(e.values[i].b) * std::sqrt(2.0L);
        EXPECT_LE(std::abs(static_cast<long double>(d.values[i]) - value), std::abs(value) * 1.2e-16L);
      }
    };
    check(exact.A, rounded.A);
    check(exact.B, rounded.B);
    check(exact.G, rounded.G);
  }
}

}  // namespace
}  // namespace wins::winograd
