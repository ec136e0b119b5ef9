// Stride 2 by phases (DWM, Huang et al., "DWM: A Decomposable Winograd Method for Convolution
// Acceleration", AAAI 2020, section 3): y0 = x0 g0 + x1 g1 + x2 g2, y1 = x2 g0 + x3 g1 + x4 g2. The
// even phase (x0, x2, x4) meets (g0, g2) with stride 1, which is F(2,2); the odd phase (x1, x3)
// meets g1 alone:
//   m0 = (x0 - x2) g0   m1 = x2 (g0 + g2)   m2 = (x2 - x4) g2   m3 = x1 g1   m4 = x3 g1
//   y0 = m0 + m1 + m3   y1 = m1 - m2 + m4
// Kernels are written against this order of the products and these signs.
#include "wins/winograd/exact.hpp"

namespace wins::winograd {
namespace {

ExactMatrix matrix(int rows, int cols, const std::vector<int>& values) {
  ExactMatrix result(rows, cols);
  for (std::size_t i = 0; i < values.size(); ++i) result.values[i] = Surd(values[i]);
  return result;
}

}  // namespace

ExactAlgorithm strided_f23() {
  const ExactMatrix A = matrix(5, 2, {1, 0,   //
                                      1, 1,   //
                                      0, -1,  //
                                      1, 0,   //
                                      0, 1});
  const ExactMatrix B = matrix(5, 5, {1, 0, 0, 0, 0,   //
                                      0, 0, 0, 1, 0,   //
                                      -1, 1, 1, 0, 0,  //
                                      0, 0, 0, 0, 1,   //
                                      0, 0, -1, 0, 0});
  const ExactMatrix G = matrix(5, 3, {1, 0, 0,  //
                                      1, 0, 1,  //
                                      0, 0, 1,  //
                                      0, 1, 0,  //
                                      0, 1, 0});
  return {2, 3, A, B, G, 2};
}

}  // namespace wins::winograd
