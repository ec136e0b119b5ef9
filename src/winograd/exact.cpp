#include "wins/winograd/exact.hpp"

#include <cmath>
#include <numeric>

#include "wins/base/error.hpp"

namespace wins::winograd {
namespace {

std::int64_t multiply(std::int64_t x, std::int64_t y) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(x, y, &result)) fail("winograd: exact arithmetic overflows 64 bits");
  return result;
}

std::int64_t add(std::int64_t x, std::int64_t y) {
  std::int64_t result = 0;
  if (__builtin_add_overflow(x, y, &result)) fail("winograd: exact arithmetic overflows 64 bits");
  return result;
}

int sign(const Rational& x) { return (x.numerator() > 0) - (x.numerator() < 0); }

/// Unevaluated sum of two doubles, about 106 bits.
struct DoubleDouble {
  double high = 0;
  double low = 0;
};

DoubleDouble two_sum(double x, double y) {
  const double sum = x + y;
  const double y_part = sum - x;
  return {sum, (x - (sum - y_part)) + (y - y_part)};
}

// sqrt(2) to 106 bits: the nearest double and the nearest double to what is left.
constexpr DoubleDouble kSqrt2{1.4142135623730951, -9.667293313452913e-17};
constexpr std::int64_t kExactDouble = std::int64_t{1} << 53;

std::string text_of(const Rational& x) {
  if (x.denominator() == 1) return fmt::format("{}", x.numerator());
  return fmt::format("{}/{}", x.numerator(), x.denominator());
}

}  // namespace

Rational::Rational(std::int64_t numerator, std::int64_t denominator) {
  require(denominator != 0, "winograd: division by zero in exact arithmetic");
  const std::int64_t common = std::gcd(numerator, denominator);
  const std::int64_t flip = denominator < 0 ? -1 : 1;
  numerator_ = multiply(flip, numerator / common);
  denominator_ = multiply(flip, denominator / common);
}

Rational operator+(const Rational& x, const Rational& y) {
  // Over the least common multiple, to keep the intermediate numbers small.
  const std::int64_t common = std::gcd(x.denominator(), y.denominator());
  const std::int64_t left = multiply(x.numerator(), y.denominator() / common);
  const std::int64_t right = multiply(y.numerator(), x.denominator() / common);
  return {add(left, right), multiply(x.denominator() / common, y.denominator())};
}

Rational operator-(const Rational& x, const Rational& y) { return x + y * Rational(-1); }

Rational operator*(const Rational& x, const Rational& y) {
  // Cross-cancel first, for the same reason.
  const Rational first(x.numerator(), y.denominator());
  const Rational second(y.numerator(), x.denominator());
  return {multiply(first.numerator(), second.numerator()), multiply(first.denominator(), second.denominator())};
}

Rational operator/(const Rational& x, const Rational& y) {
  return x * Rational(y.denominator(), y.numerator());
}

Surd operator+(const Surd& x, const Surd& y) { return {x.a + y.a, x.b + y.b}; }
Surd operator-(const Surd& x, const Surd& y) { return {x.a - y.a, x.b - y.b}; }
Surd operator*(const Surd& x, const Surd& y) {
  return {x.a * y.a + Rational(2) * x.b * y.b, x.a * y.b + x.b * y.a};
}
Surd operator/(const Surd& x, const Surd& y) {
  // 1 / (a + b sqrt2) = (a - b sqrt2) / (a^2 - 2 b^2); the norm is 0 only for 0.
  const Rational norm = y.a * y.a - Rational(2) * y.b * y.b;
  return x * Surd(y.a / norm, Rational(-1) * y.b / norm);
}

int sign(const Surd& x) {
  const int a = sign(x.a);
  const int b = sign(x.b);
  if (a == 0 || b == 0 || a == b) return a != 0 ? a : b;
  // Opposite signs: the larger of a^2 and 2 b^2 decides.
  return a * sign(x.a * x.a - Rational(2) * x.b * x.b);
}

double Surd::to_double() const {
  const std::int64_t common = std::gcd(a.denominator(), b.denominator());
  const std::int64_t d = multiply(a.denominator() / common, b.denominator());
  const std::int64_t x = multiply(a.numerator(), d / a.denominator());
  const std::int64_t y = multiply(b.numerator(), d / b.denominator());
  require(std::abs(x) < kExactDouble && std::abs(y) < kExactDouble && d < kExactDouble,
          "winograd: {} is too long to round to double", text());
  const auto xd = static_cast<double>(x);
  const auto yd = static_cast<double>(y);
  const auto dd = static_cast<double>(d);
  if (y == 0) return xd / dd;  // one correctly rounded division

  // (x + y sqrt2) / d in double-double.
  const double product = yd * kSqrt2.high;
  const double product_error = std::fma(yd, kSqrt2.high, -product) + yd * kSqrt2.low;
  DoubleDouble sum = two_sum(xd, product);
  sum = two_sum(sum.high, sum.low + product_error);
  const double quotient = sum.high / dd;
  const double remainder = (std::fma(-quotient, dd, sum.high) + sum.low) / dd;

  // Ziv's test: rounding must not depend on the evaluation error, which is below 2^-95 of the
  // larger term (cancellation between x and y sqrt2 included).
  const double bound = std::ldexp((std::abs(xd) + 2 * std::abs(yd)) / dd, -95);
  const double result = quotient + remainder;
  require(result == quotient + (remainder - bound) && result == quotient + (remainder + bound),
          "winograd: cannot round {} to double with certainty", text());
  return result;
}

std::string Surd::text() const {
  if (b == Rational(0)) return text_of(a);
  const std::string root = text_of(b) + "*sqrt2";
  if (a == Rational(0)) return root;
  return text_of(a) + (sign(b) > 0 ? "+" : "") + root;
}

ExactMatrix::ExactMatrix(int row_count, int col_count)
    : rows(row_count), cols(col_count), values(static_cast<std::size_t>(row_count * col_count)) {}

}  // namespace wins::winograd
