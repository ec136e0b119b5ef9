// Output-aware: the energy that a unit adds to the layer's output tile.
//
// Weight (xi = (i,j), k, c) contributes A[i,a] A[j,b] U[xi,k,c] V[xi,c] to output pixel (a, b) of
// channel k. Summed over the tile's pixels its mean square is  u^2 E[V[xi,c]^2] |A_i|^2 |A_j|^2,
// with A_i the part of A that position row i feeds (row i of A here, column i of A^T in the
// literature); terms of one unit are taken as uncorrelated. A batch norm that follows multiplies
// channel k by `output_scale[k]`. Invariant under any scaling of the rows of A, G and columns of B.
#include "criterion.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

/// |A_i|^2 for each of the p position rows.
std::vector<double> output_norms(const winograd::Algorithm& algorithm) {
  std::vector<double> norms(static_cast<std::size_t>(algorithm.p()), 0.0);
  for (int i = 0; i < algorithm.p(); ++i) {
    for (int a = 0; a < algorithm.m; ++a) {
      norms[static_cast<std::size_t>(i)] += algorithm.A(i, a) * algorithm.A(i, a);
    }
  }
  return norms;
}

void check_calibration(const LayerView& layer, const Extents& extents) {
  require(layer.input_energy.defined(), "{}: the output-aware criterion needs calibration images", layer.name);
  const Shape wanted{extents.positions, extents.columns};
  require(layer.input_energy.dtype() == DType::f64 && layer.input_energy.shape() == wanted,
          "{}: calibration is {} {}, not float64 {} (another tile size?)", layer.name,
          name_of(layer.input_energy.dtype()), wins::to_string(layer.input_energy.shape()), wins::to_string(wanted));
}

}  // namespace

std::vector<double> output_aware_scores(const LayerView& layer, winograd::Axis axis) {
  const Extents extents = extents_of(layer);
  check_calibration(layer, extents);
  std::vector<double> scale = layer.output_scale;
  if (scale.empty()) scale.assign(static_cast<std::size_t>(extents.rows), 1.0);
  require(static_cast<std::int64_t>(scale.size()) == extents.rows, "{}: {} output scales for {} channels", layer.name,
          scale.size(), extents.rows);
  for (double& s : scale) s *= s;

  const int p = layer.algorithm->p();
  const std::vector<double> norms = output_norms(*layer.algorithm);
  const auto energy = layer.input_energy.data<double>();
  return sum_over_units(layer, axis, [&](int xi, std::int64_t k, std::int64_t c, double u) {
    return u * u * energy[static_cast<std::size_t>(xi * extents.columns + c)] * scale[static_cast<std::size_t>(k)] *
           norms[static_cast<std::size_t>(xi / p)] * norms[static_cast<std::size_t>(xi % p)];
  });
}

}  // namespace wins::pruning
