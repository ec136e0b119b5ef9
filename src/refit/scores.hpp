// The two kinds of row scores of one layer, from its moments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "moments.hpp"
#include "wins/refit/linear_layer.hpp"

namespace wins::refit {

/// S_k for each output channel k: [positions, positions] float64, S_k[xi, xi'] = u_{xi,k}^T H[xi,xi']
/// u_{xi',k}, the covariances over output pixels of what the rows add to channel k.
std::vector<std::vector<double>> row_covariances(const LinearLayer& layer, const Moments& moments,
                                                 int threads);

/// One row goes: its position, and the rise of the error.
struct Removal {
  int xi = 0;
  double cost = 0;
};

/// Greedy order in which rows of one channel go. With `alive` = A and rho = `ridge` times the mean diagonal,
/// the rows' factors are b_A = (S_AA + rho I)^-1 (S 1)_A; the row with the least b_xi^2 / ((S_AA + rho
/// I)^-1)_{xi,xi} goes next, of equals the lower position. All costs are 0 when the channel does not vary.
std::vector<Removal> removal_order(const std::vector<double>& S, const std::vector<char>& alive,
                                   double ridge);

/// Place of every row in the order in which the layer's rows go: at each step the channel whose next removal
/// costs least, times `weight[k]`. Pruned rows come first. [positions, K] float64.
Tensor gram_scores(const LinearLayer& layer, const std::vector<std::vector<double>>& covariances,
                   const std::vector<double>& weight, double ridge, int threads);

/// Bytes that `obs_scores` needs beside the moments.
std::size_t obs_bytes(const LinearLayer& layer);

/// weight[k] u^T (((H + rho I)^-1)_gg)^-1 u for every row, g the weights of its position; [positions, K]
/// float64. rho = `ridge` times the mean diagonal of H; times 10, at most three times, while H + rho I is not
/// positive definite in float32. Nothing when it never is.
std::optional<Tensor> obs_scores(const LinearLayer& layer, const Moments& moments,
                                 const std::vector<double>& weight, double ridge, int threads);

}  // namespace wins::refit
