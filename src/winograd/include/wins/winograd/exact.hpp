// Exact numbers a + b sqrt(2), a and b rational: the field in which A, B and G are generated and
// checked, so that interpolation points like sqrt(2)/2 need no rounding before the very end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wins::winograd {

/// n / d in lowest terms, d > 0. Throws `Error` on overflow of int64 and on division by zero.
class Rational {
 public:
  constexpr Rational() = default;
  Rational(std::int64_t numerator, std::int64_t denominator = 1);  // NOLINT: integers convert

  std::int64_t numerator() const { return numerator_; }
  std::int64_t denominator() const { return denominator_; }
  bool operator==(const Rational&) const = default;

 private:
  std::int64_t numerator_ = 0;
  std::int64_t denominator_ = 1;
};

Rational operator+(const Rational& x, const Rational& y);
Rational operator-(const Rational& x, const Rational& y);
Rational operator*(const Rational& x, const Rational& y);
Rational operator/(const Rational& x, const Rational& y);

/// a + b sqrt(2), an element of the field Q(sqrt(2)).
struct Surd {
  Rational a, b;

  Surd() = default;
  Surd(std::int64_t integer) : a(integer) {}  // NOLINT: integers convert
  Surd(Rational rational, Rational root = 0) : a(rational), b(root) {}  // NOLINT
  bool operator==(const Surd&) const = default;

  /// Nearest double to the exact value (Ziv's test on a double-double evaluation; throws
  /// `Error` if that cannot decide, which no algorithm of this project reaches).
  double to_double() const;
  /// "3/2", "1/2*sqrt2", "1+1/2*sqrt2": for messages.
  std::string text() const;
};

Surd operator+(const Surd& x, const Surd& y);
Surd operator-(const Surd& x, const Surd& y);
Surd operator*(const Surd& x, const Surd& y);
Surd operator/(const Surd& x, const Surd& y);
/// -1, 0 or 1, decided exactly.
int sign(const Surd& x);

/// Row-major dense matrix of exact numbers.
struct ExactMatrix {
  int rows = 0;
  int cols = 0;
  std::vector<Surd> values;
  ExactMatrix() = default;
  ExactMatrix(int row_count, int col_count);
  const Surd& operator()(int r, int c) const { return values[static_cast<std::size_t>(r * cols + c)]; }
  Surd& operator()(int r, int c) { return values[static_cast<std::size_t>(r * cols + c)]; }
};

/// F(m, r) in exact numbers: A p x m, B p x p, G p x r, as in `Algorithm`.
struct ExactAlgorithm {
  int m = 0;
  int r = 0;
  ExactMatrix A, B, G;
  int stride = 1;
};

/// The finite interpolation points used for p = m + r - 1 (p - 1 of them; the last is infinity).
std::vector<Surd> interpolation_points(int p);

/// Toom-Cook F(m, r) from `points` (p - 1 distinct finite points; infinity is added).
/// Throws `Error` when the points are not distinct or their number does not fit.
ExactAlgorithm generate(int m, int r, const std::vector<Surd>& points);

/// F(2, 3) with stride 2 by its two phases (`Algorithm`): entries 0 and +-1, p = 5.
ExactAlgorithm strided_f23();

/// Whether sum_i A[i,a] G[i,b] B[y,i] = [y = stride a + b] for all a, b, y, exactly: the identity
/// that makes A^T ((G g) * (B^T d)) the correlation of d with g.
bool identity_holds(const ExactAlgorithm& algorithm);

}  // namespace wins::winograd
