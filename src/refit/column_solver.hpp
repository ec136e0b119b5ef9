// Kept weights of a layer whose columns are pruned in blocks of rows (BCBP), directly.
#pragma once

#include "moments.hpp"
#include "wins/refit/linear_layer.hpp"

namespace wins::refit {

/// All output channels of a block keep the same input channels S, so that one Cholesky factor of H_SS + rho I, in double,
/// solves them together: (H_SS + rho I) u_S = (E[x y] + rho u_old)_S for each, moments centred, rho = `ridge` times the mean
/// diagonal of H.
class ColumnSolver {
 public:
  /// `layer` (one position, `block` > 0) and `moments` must outlive it; the targets in `moments` may change.
  ColumnSolver(const LinearLayer& layer, const Moments& moments, double ridge, int threads);

  /// False when the inputs do not vary.
  bool ready() const;
  /// Puts the solution into `weights` ([1, K, C], zero where pruned); a block that is not positive definite stays. Returns
  /// the iterations: 1.
  int solve(Tensor& weights) const;

 private:
  void solve_block(std::int64_t block, float* weights) const;

  const LinearLayer& layer_;
  const Moments& moments_;
  const double rho_;
  const int threads_;
};

}  // namespace wins::refit
