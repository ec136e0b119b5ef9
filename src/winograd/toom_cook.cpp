// Generation of A, B, G from interpolation points.
//
// The correlation Y[a] = sum_b d[a + b] g[b] is the transpose of a polynomial product of degrees
// m - 1 and r - 1 (Blahut, "Fast Algorithms for Signal Processing", 2010, chapter 5; Lavin & Gray,
// CVPR 2016, section 4). Let x_0 ... x_{p-2} be distinct points, M(x) = prod (x - x_i),
// M_i(x) = M(x) / (x - x_i), N_i = M_i(x_i). Lagrange interpolation writes every monomial of
// degree s <= p - 2 as  x^s = sum_i x_i^s M_i(x) / N_i, and, since the remainder of x^{p-1} by M
// is x^{p-1} - M(x),  x^{p-1} = sum_i x_i^{p-1} M_i(x) / N_i + M(x)  (the point "infinity").
// With s = a + b this is the identity  sum_i A[i,a] G[i,b] B[y,i] = [y = a + b]  for
//   A[i,a] = x_i^a,   G[i,b] = x_i^b / |N_i|,   B[y,i] = sign(N_i) * coefficient of x^y in M_i,
// and for the last row  A[.,a] = [a = m-1],  G[.,b] = [b = r-1],  B[y,.] = coefficient of x^y in M.
// Dividing in G leaves A and B with small entries: for F(2,3) B holds 0 and +-1 only, as in
// Lavin & Gray (whose last rows of A and B have the opposite sign).
#include "wins/base/error.hpp"
#include "wins/winograd/exact.hpp"

namespace wins::winograd {
namespace {

using Polynomial = std::vector<Surd>;  // coefficients, lowest degree first

/// prod (x - points[j]) over all j except `skip` (-1: none).
Polynomial product_of_roots(const std::vector<Surd>& points, int skip) {
  Polynomial result{Surd(1)};
  for (int j = 0; j < static_cast<int>(points.size()); ++j) {
    if (j == skip) continue;
    Polynomial next(result.size() + 1);
    for (std::size_t k = 0; k < result.size(); ++k) {
      next[k + 1] = next[k + 1] + result[k];
      next[k] = next[k] - result[k] * points[static_cast<std::size_t>(j)];
    }
    result = std::move(next);
  }
  return result;
}

Surd evaluate(const Polynomial& polynomial, const Surd& x) {
  Surd result;
  for (std::size_t k = polynomial.size(); k-- > 0;) result = result * x + polynomial[k];
  return result;
}

void fill_finite_row(ExactAlgorithm& algorithm, int i, const std::vector<Surd>& points) {
  const Surd& x = points[static_cast<std::size_t>(i)];
  const Polynomial cofactor = product_of_roots(points, i);
  const Surd n = evaluate(cofactor, x);
  require(sign(n) != 0, "winograd: interpolation point {} is there twice", x.text());
  const Surd flip(sign(n));
  Surd power(1);
  for (int b = 0; b < algorithm.r; ++b, power = power * x) algorithm.G(i, b) = power / (n * flip);
  power = Surd(1);
  for (int a = 0; a < algorithm.m; ++a, power = power * x) algorithm.A(i, a) = power;
  for (int y = 0; y < static_cast<int>(cofactor.size()); ++y) {
    algorithm.B(y, i) = flip * cofactor[static_cast<std::size_t>(y)];
  }
}

}  // namespace

ExactAlgorithm generate(int m, int r, const std::vector<Surd>& points) {
  require(m >= 1 && r >= 1, "winograd: F({},{}) does not exist", m, r);
  const int p = m + r - 1;
  require(static_cast<int>(points.size()) == p - 1, "winograd: F({},{}) needs {} finite points, not {}", m, r, p - 1,
          points.size());
  ExactAlgorithm result{m, r, ExactMatrix(p, m), ExactMatrix(p, p), ExactMatrix(p, r), 1};
  for (int i = 0; i < p - 1; ++i) fill_finite_row(result, i, points);
  result.A(p - 1, m - 1) = Surd(1);
  result.G(p - 1, r - 1) = Surd(1);
  const Polynomial all = product_of_roots(points, -1);
  for (int y = 0; y < p; ++y) result.B(y, p - 1) = all[static_cast<std::size_t>(y)];
  return result;
}

bool identity_holds(const ExactAlgorithm& algorithm) {
  const int p = algorithm.B.rows;
  for (int a = 0; a < algorithm.m; ++a) {
    for (int b = 0; b < algorithm.r; ++b) {
      for (int y = 0; y < p; ++y) {
        Surd sum;
        for (int i = 0; i < p; ++i) sum = sum + algorithm.A(i, a) * algorithm.G(i, b) * algorithm.B(y, i);
        if (!(sum == Surd(y == algorithm.stride * a + b ? 1 : 0))) return false;
      }
    }
  }
  return true;
}

}  // namespace wins::winograd
