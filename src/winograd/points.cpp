// Which interpolation points each tile size uses.
//
// Rounding errors grow with the spread of the points and shrink with symmetry (+-x pairs, x and
// 1/x pairs); see Barabasz, Anderson, Soodhalter & Gregg, "Error Analysis and Improving the
// Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 2020. The choice below was
// measured in float32 with 64 channels (tests/winograd/accuracy_test.cpp prints and bounds it):
//   F(4,3)  0, +-sqrt(2)/2, +-sqrt(2)  7.4e-7    0, +-1, +-2  1.45e-6    0, +-2/3, +-3/2  7.3e-7
//   F(6,3)  0, +-1/2, +-1, +-2  3.2e-6    0, +-sqrt(2)/2, +-1, +-sqrt(2)  1.1e-5
//   F(4,4)  +-1/4, +-7/8, +-7/4  (12 channels: 9.1e-7)    0, +-1, +-2, 1/2  (1.5e-6)    0, +-sqrt(2)/2, +-sqrt(2), 1  (5.6e-6)
// (best of 252 symmetric triples with small numerators and denominators for F(6,3)).
#include "wins/base/error.hpp"
#include "wins/winograd/exact.hpp"

namespace wins::winograd {

std::vector<Surd> interpolation_points(int p) {
  require(p >= 1 && p <= 10, "winograd: tile size p = m + r - 1 = {} is outside 1 to 10", p);
  const auto surd = [](int n, int d) { return Surd(Rational(n, d)); };
  const auto root = [](int n, int d) { return Surd(Rational(0), Rational(n, d)); };
  std::vector<Surd> points;
  if (p <= 5) {
    points = {0, 1, -1, surd(1, 2)};
  } else if (p == 6) {
    points = {0, root(1, 2), root(-1, 2), root(1, 1), root(-1, 1)};
  } else if (p == 7) {
    points = {surd(1, 4), surd(-1, 4), surd(7, 8), surd(-7, 8), surd(7, 4), surd(-7, 4)};
  } else {
    points = {0, 1, -1, 2, -2, surd(1, 2), surd(-1, 2), root(1, 1), root(-1, 1)};
  }
  points.resize(static_cast<std::size_t>(p - 1));
  return points;
}

}  // namespace wins::winograd
