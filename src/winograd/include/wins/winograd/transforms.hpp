// The matrices of F(m x m, r x r) and the transforms that they define.
//
// U = G g G^T, V = B^T d B, Y = A^T M A (Lavin & Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016, section 4.1), generated from interpolation points (Toom-Cook).
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"

namespace wins::winograd {

/// Row-major dense matrix of doubles, small.
struct Matrix {
  int rows = 0;
  int cols = 0;
  std::vector<double> values;
  double operator()(int r, int c) const { return values[static_cast<std::size_t>(r * cols + c)]; }
  double& operator()(int r, int c) { return values[static_cast<std::size_t>(r * cols + c)]; }
};

/// One algorithm: m outputs of a correlation with r taps from p = (m - 1) stride + r inputs by p
/// products; A is p x m, B is p x p, G is p x r.
struct Algorithm {
  int m = 0;
  int r = 0;
  Matrix A, B, G;
  int stride = 1;
  int p() const { return (m - 1) * stride + r; }
  int positions() const { return p() * p(); }
  /// Input pixels from one tile to the next.
  int step() const { return m * stride; }
  /// Outputs along an axis of `padded` inputs, pads counted in; 0 when the kernel does not fit.
  std::int64_t outputs(std::int64_t padded) const { return padded < r ? 0 : (padded - r) / stride + 1; }
};

/// F(m x m, r x r) for m >= 1, r >= 1, p <= 10. m in {2, 4, 6} with r = 3 are the tested ones.
/// F(2,3): points 0, 1, -1, inf. Larger tiles: points chosen for accuracy, stated in the source.
/// Stride 2: F(2,3) alone, decomposed into its even and odd inputs (Huang et al., "DWM", AAAI 2020,
/// section 3); positions 0 to 2 of a dimension belong to the even ones, 3 and 4 to the odd ones.
/// Throws `Error` for sizes outside that range. The result is cached; the reference stays valid.
const Algorithm& algorithm(int m, int r, int stride = 1);

/// Filters that `transform_filters` takes: more would leave the first-level cache, and positions lie
/// far apart in U, often by a power of two, so that short runs throw each other out of it.
inline constexpr std::int64_t kFiltersAtOnce = 128;

/// U of `count` filters, computed in double and rounded once: tap (y, x) of filter f is
/// taps[(y * r + x) * count + f], its value at position xi becomes out[xi][f].
/// Throws `Error` for more than `kFiltersAtOnce`.
void transform_filters(const Algorithm& algorithm, const double* taps, std::int64_t count, float* const* out);

/// U[xi][k][c] from g[k][c][r][r], computed in double and rounded once. Shape [p*p, K, C], float32.
/// Throws `Error` when `weights` is not K x C x r x r float32.
Tensor transform_weights(const Algorithm& algorithm, const Tensor& weights);

/// The ordinary convolution that a (pruned or dense) Winograd layer equals (design: exact
/// equivalence): kernel p x p, stride m * stride, output channels ordered so that DepthToSpace in "CRD"
/// mode with block m restores the image: row (k * m + a) * m + b holds output pixel (a, b).
///   W[(k,a,b), c, y, x] = sum_ij A[i,a] A[j,b] U[(i,j),k,c] B[y,i] B[x,j]
/// Takes U [p*p, K, C] float32; gives [K*m*m, C, p, p] float32 (computed in double).
Tensor equivalent_convolution(const Algorithm& algorithm, const Tensor& U);

/// Tiles of one image plane: `rows` x `cols` tiles of m x m output pixels cover an out_h x out_w output.
struct TileGrid {
  int m = 0;
  std::int64_t out_h = 0, out_w = 0;
  std::int64_t rows = 0, cols = 0;
  std::int64_t count() const { return rows * cols; }
};
TileGrid tile_grid(int m, std::int64_t out_h, std::int64_t out_w);

}  // namespace wins::winograd
