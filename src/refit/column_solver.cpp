#include "column_solver.hpp"

#include <algorithm>
#include <cmath>

#include "blas.hpp"
#include "wins/base/parallel.hpp"

namespace wins::refit {

ColumnSolver::ColumnSolver(const LinearLayer& layer, const Moments& moments, double ridge, int threads)
    : layer_(layer), moments_(moments), rho_(ridge * moments.mean_diagonal(layer.mask)), threads_(threads) {}

bool ColumnSolver::ready() const { return rho_ > 0 && std::isfinite(rho_); }

int ColumnSolver::solve(Tensor& weights) const {
  float* w = weights.mutable_data<float>().data();
  const std::int64_t blocks = (layer_.K + layer_.block - 1) / layer_.block;
  parallel_tasks(blocks, threads_, [&](std::int64_t block, int) { solve_block(block, w); });
  return 1;
}

void ColumnSolver::solve_block(std::int64_t block, float* weights) const {
  const std::int64_t C = layer_.C, first = block * layer_.block, last = std::min(first + layer_.block, layer_.K);
  std::vector<std::int64_t> kept;
  for (std::int64_t c = 0; c < C; ++c) {
    if (layer_.mask.weight_kept(0, first, c)) kept.push_back(c);
  }
  const float* H = moments_.block(0, 0);
  const double* mean = moments_.mean().data();
  std::vector<double> matrix, rhs;
  matrix.reserve(kept.size() * kept.size());
  for (const std::int64_t r : kept) {
    for (const std::int64_t c : kept)
      matrix.push_back(static_cast<double>(H[r * C + c]) - mean[r] * mean[c] + (r == c ? rho_ : 0));
  }
  const float* old = layer_.weights.data<float>().data();
  for (std::int64_t k = first; k < last; ++k) {
    const double y = moments_.target_mean()[static_cast<std::size_t>(k)];
    for (const std::int64_t c : kept) {
      const auto at = static_cast<std::size_t>(k * C + c);
      rhs.push_back(static_cast<double>(moments_.rhs()[at]) - mean[c] * y + rho_ * static_cast<double>(old[at]));
    }
  }
  if (!solve_spd(static_cast<std::int64_t>(kept.size()), matrix, rhs)) return;
  std::size_t i = 0;
  for (std::int64_t k = first; k < last; ++k) {
    for (const std::int64_t c : kept) weights[k * C + c] = static_cast<float>(rhs[i++]);
  }
}

}  // namespace wins::refit
