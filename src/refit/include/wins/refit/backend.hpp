// What a refit asks of whoever computes: activations of two networks at a moving cut, and the least-squares
// problem of one layer. The walk over the layers (refit.cpp) and the rounds within one (layer_refit.cpp) are
// the same for all backends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/refit/linear_layer.hpp"
#include "wins/refit/refit.hpp"
#include "wins/refit/surroundings.hpp"

namespace wins::refit {

/// Of one set of activations, over pictures and pixels.
struct ChannelStatistics {
  std::vector<double> mean, variance;
};

/// Weights and shift of a layer.
struct LayerSolution {
  Tensor weights;             ///< [positions, K, C], zero where pruned
  std::vector<double> shift;  ///< K values to add to the outputs
};

/// A layer in its place. The walk keeps it alive as long as the layer's `LayerEngine`.
struct LayerSite {
  const LinearLayer& layer;
  std::string input, output;      ///< value names
  Surroundings dense, pruned;     ///< `other_branch` is empty when the sum cannot be computed yet
  bool correct_residual = true;   ///< the other branch counts as it is in the pruned network
  std::vector<double> bias;       ///< K values that its outputs carry already
  std::function<void(const Tensor& weights)> store;  ///< puts weights into the pruned network's graph
};

/// The least-squares problem of one layer. It holds two solutions: the best so far, which starts as the weights as
/// pruned with the shift that fits them, and a candidate, which starts as the same.
class LayerEngine {
 public:
  virtual ~LayerEngine() = default;

  /// Samples tiles, sets targets that would give the dense network's output in front of the activation, and
  /// gathers second moments. Returns the tiles.
  virtual std::int64_t gather() = 0;
  /// Moments of the present targets, the inputs being the same.
  virtual void regather_targets() = 0;

  /// Makes the systems solvable; false when there is nothing to fit.
  virtual bool prepare(double ridge) = 0;
  /// Conjugate gradients from the candidate's weights, then the shift that brings the mean of its outputs to that of
  /// the targets, on the sampled tiles. Returns the iterations.
  virtual int improve(int max_iterations, double tolerance) = 0;

  /// Squared error of the candidate in each channel behind the activation, over all pictures; with `retarget` also
  /// sets the targets to what would lower it.
  virtual std::vector<double> judge(bool retarget) = 0;
  /// sqrt(sum of `squared` / squared deviation of the dense network's values from their channel means).
  virtual double relative(const std::vector<double>& squared) = 0;

  /// Channels with `better` give the candidate's solution to the best, the others take the best's back.
  virtual void settle(const std::vector<char>& better) = 0;
  virtual LayerSolution best() const = 0;
};

enum class Side { dense, pruned };

class Backend {
 public:
  virtual ~Backend() = default;
  /// Both graphs are specialised, have the same nodes, and outlive the backend.
  virtual void start(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Tensor>& batches) = 0;
  virtual std::size_t position(Side side) const = 0;
  virtual void advance(Side side, std::size_t node) = 0;
  virtual bool has(Side side, const std::string& value) const = 0;
  /// The pruned network takes the dense one's activations and position.
  virtual void adopt() = 0;
  virtual ChannelStatistics statistics(Side side, const std::string& value) const = 0;
  /// The dense network stands behind the layer, the pruned one in front of it.
  virtual std::unique_ptr<LayerEngine> layer(const LayerSite& site) = 0;
};

/// Tiles to sample for a layer: `options.tiles_per_weight` for each weight of an output channel.
std::int64_t wanted_tiles(const LinearLayer& layer, const RefitOptions& options);

/// `refit` by a backend of the caller's.
RefitResult refit_with(Backend& backend, const graph::Graph& pruned, const graph::Graph& dense,
                       const std::vector<Tensor>& batches, const RefitOptions& options);

}  // namespace wins::refit
