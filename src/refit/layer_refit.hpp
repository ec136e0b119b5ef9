// The refit of one layer, its inputs and targets given.
#pragma once

#include <functional>
#include <vector>

#include "block_output.hpp"
#include "frontier.hpp"
#include "linear_layer.hpp"
#include "wins/refit/refit.hpp"

namespace wins::refit {

/// What is known of a layer when the walk comes to it.
struct LayerProblem {
  const LinearLayer& layer;
  const BlockOutput& block;
  const Activations& input;
  const Activations& dense;  ///< the layer's outputs in the dense network
  std::vector<double> bias;  ///< K values that its outputs carry already
  /// Runs the layer with other weights ([positions, K, C]) on all pictures, batch by batch.
  std::function<void(const Tensor& weights, const std::function<void(std::size_t, const Tensor&)>& visit)> evaluate;
};

struct LayerSolution {
  Tensor weights;             ///< [positions, K, C], zero where pruned
  std::vector<double> shift;  ///< K values to add to the outputs
};

/// Fits the kept weights and a shift of each channel to the dense network's output of the block. First in
/// closed form to the linear targets; then, where an activation follows, `activation_rounds` times to what the
/// activation lets through. A channel keeps the best that all calibration pictures have seen.
LayerSolution refit_layer(const LayerProblem& problem, const RefitOptions& options, int threads, LayerFit& fit);

}  // namespace wins::refit
