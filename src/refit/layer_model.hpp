// The error of one layer after a refit under any mask, from moments that are gathered once.
#pragma once

#include <vector>

#include "activations.hpp"
#include "moments.hpp"
#include "wins/refit/linear_layer.hpp"
#include "wins/refit/refit.hpp"

namespace wins::refit {

/// One layer of the dense network with its moments over all positions. Its dense weights give its targets
/// exactly, so that the error of weights u is the quadratic form (u - u_dense)^T H (u - u_dense), H centred.
class LayerModel {
 public:
  /// `layer`: the dense weights. `x`: inputs of the layer in the dense network; `output`: shape of one batch of
  /// its outputs.
  LayerModel(const LinearLayer& layer, const Activations& x, const Shape& output, const RefitOptions& options);
  LayerModel(const LayerModel&) = delete;  // the moments refer to the layer
  LayerModel& operator=(const LayerModel&) = delete;

  /// The layer refitted under a mask.
  struct Fitted {
    Tensor weights;            ///< [positions, K, C], zero where pruned
    std::vector<double> mean;  ///< by how much each output channel's mean falls short of the dense one's
    double squared_error = 0;  ///< relative to the variance of the outputs
  };
  /// At most `max_iterations` of conjugate gradients; the rest as `refit::refit` with the same options does
  /// it.
  Fitted fit(const winograd::Mask& mask, int max_iterations) const;

  /// Variance of the dense outputs, summed over the channels; 0 when they do not vary.
  double variance() const { return variance_; }

 private:
  double energy(const Tensor& weights) const;

  const RefitOptions& options_;
  const int threads_;
  const LinearLayer layer_;
  Moments moments_;
  double variance_ = 0;
};

/// `layer` under a mask, weights zero where it prunes.
LinearLayer under_mask(LinearLayer layer, const winograd::Mask& mask);

}  // namespace wins::refit
