// Second moments of one layer on the device, and the solution for all output channels at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "refit_tiles.hpp"

namespace wins::training {

/// Targets of sampled tiles, by tile set and batch: [m*m, T, K].
using SampledTargets = std::vector<std::vector<at::Tensor>>;

/// The tensor form of refit::Moments and refit::Solver; L = alive positions.
class RefitSystems {
 public:
  RefitSystems(const refit::LinearLayer& layer, const TileSampler& tiles, at::Device device);

  void gather(const std::vector<at::Tensor>& input, const SampledTargets& targets);
  void regather_targets(const std::vector<at::Tensor>& input, const SampledTargets& targets);
  bool prepare(double ridge);
  /// The layer's weights as they were given, [K, L*C].
  const at::Tensor& given() const { return old_; }
  /// [K, L*C] to [positions, K, C], zero at dead positions.
  at::Tensor planes(const at::Tensor& weights) const;

  int improve(at::Tensor& weights, int max_iterations, double tolerance) const;
  /// E[y] - u . E[phi] of each channel: [K] float64.
  at::Tensor mean_error(const at::Tensor& weights) const;

 private:
  at::Tensor pack(const at::Tensor& weights) const;
  bool invert_column_blocks();
  at::Tensor apply(const at::Tensor& x) const;
  at::Tensor precondition(const at::Tensor& residual) const;

  const refit::LinearLayer& layer_;
  const TileSampler& tiles_;
  const at::Device device_;
  const std::int64_t L_;
  double pixels_ = 0;
  double rho_ = 0;
  at::Tensor H_;            ///< [L*C, L*C] centred
  at::Tensor rhs_;          ///< [K, L*C] centred
  at::Tensor mean_;         ///< E[phi], [L*C] float64
  at::Tensor target_mean_;  ///< E[y], [K] float64
  at::Tensor alive_;        ///< the L positions
  at::Tensor keep_;         ///< [K, L*C] 0/1
  at::Tensor old_;          ///< [K, L*C] weights as pruned
  at::Tensor inverse_;      ///< [L, C, C] of the blocks, or [L*C] of the diagonal
  /// Of layers whose columns are pruned in blocks of rows: the kept columns of each and the inverse of their part of H.
  struct ColumnBlock {
    std::int64_t first, rows;
    at::Tensor columns, inverse;
  };
  std::vector<ColumnBlock> column_blocks_;
};

}  // namespace wins::training
