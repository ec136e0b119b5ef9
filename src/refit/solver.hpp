// Kept weights of all output channels at once, by block-Jacobi conjugate gradients.
#pragma once

#include <memory>

#include "column_solver.hpp"
#include "moments.hpp"
#include "wins/refit/linear_layer.hpp"

namespace wins::refit {

/// Solves (H_SS + rho I) (u - layer.weights)_S = (E[phi y] - H layer.weights)_S for each output channel, rho =
/// `ridge` times the mean diagonal of H, both moments centred. The preconditioner is the inverse of each
/// position's own C x C block, so the iterations only have to settle the positions among themselves. Layers whose
/// columns are pruned in blocks need no iterations (`ColumnSolver`).
class Solver {
 public:
  /// `layer` and `moments` must outlive it; the targets in `moments` may change between calls of `improve`.
  Solver(const LinearLayer& layer, const Moments& moments, double ridge, int threads);
  ~Solver();
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;

  /// False when there is nothing to fit: inputs that do not vary, or a block that is not positive definite.
  bool ready() const;
  /// Conjugate gradients from `weights` ([positions, K, C], zero where pruned) until the preconditioned
  /// residual has fallen to `tolerance` of the first; a channel whose objective would not fall stays. Returns
  /// the iterations.
  int improve(Tensor& weights, int max_iterations, double tolerance) const;

 private:
  class Systems;
  std::unique_ptr<Systems> systems_;
  std::unique_ptr<ColumnSolver> columns_;
};

}  // namespace wins::refit
