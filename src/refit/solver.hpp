// Kept weights of all output channels at once, by block-Jacobi conjugate gradients.
#pragma once

#include "linear_layer.hpp"
#include "moments.hpp"

namespace wins::refit {

struct Solution {
  Tensor weights;  ///< [positions, K, C], zero where pruned
  int iterations = 0;
  bool solved = false;  ///< false: a block was not positive definite, or nothing was there to fit; `weights`
                        ///< are the old
};

/// Solves (H_SS + rho I) d_S = (E[phi y] - H u)_S for each output channel, u = layer.weights, rho = `ridge`
/// times the mean diagonal of H, both moments centred; the result is u + d. The preconditioner is the inverse
/// of each position's own C x C block, so the iterations only have to settle the positions among themselves.
/// A channel whose error would not fall keeps its weights.
Solution solve(const LinearLayer& layer, const Moments& moments, double ridge, int max_iterations,
               double tolerance, int threads);

}  // namespace wins::refit
