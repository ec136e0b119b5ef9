// A pruning ratio for each layer, by marginal cost.
//
// Each layer l has a curve e_l(r)^2, the squared relative error of its output after a refit at ratio r with
// the dense network's inputs, and a sensitivity w_l(r), the squared relative error of the network's output
// for a unit of that once the layers behind it are refitted too. The damage w_l e_l^2 of single layers is taken as additive; the ratios minimise its sum
// subject to sum_l c_l r_l >= R sum_l c_l for costs c_l (multiply-adds, microseconds). On the lower convex
// hulls of the curves the greedy choice by damage for each unit of cost saved is the optimum (Fox, "Discrete
// optimization via marginal analysis", Management Science 1966). See docs/pruning-without-training.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/refit/refit.hpp"

namespace wins::refit {

struct CurvePoint {
  double ratio = 0;          ///< pruning ratio of the layer
  double squared_error = 0;  ///< of its output, relative to the output's variance
  double damage = 0;         ///< squared error of the network's output, relative to its variance
};

struct LayerCurve {
  std::string layer;
  std::vector<CurvePoint> points;  ///< rising ratio; the first is the dense network's, without error
  std::string reason;              ///< why there is no curve; empty when there is one

  /// The curve at `ratio`: linear between points and constant outside.
  CurvePoint at(double ratio) const;
};

struct CurveOptions {
  std::vector<double> ratios{0.35, 0.5, 0.6, 0.7, 0.78, 0.84, 0.9, 0.95};
  /// Where the sensitivity is measured; between them it is linear in the ratio. They join `ratios`.
  std::vector<double> references{0.6, 0.84};
  int max_iterations = 20;            ///< of conjugate gradients for each point
  std::int64_t curve_pictures = 1024;  ///< at most; here and below in whole batches
  int follow_up_iterations = 3;       ///< of each layer behind a pruned one: it starts nearly right
  std::int64_t refit_pictures = 512;   ///< at most, for the refits that the sensitivity takes
  std::int64_t pictures = 256;        ///< that judge them: others, where there are enough
  /// How a network with one pruned layer is refitted; empty: `refit`.
  std::function<graph::Graph(const graph::Graph& pruned, const graph::Graph& dense,
                             const std::vector<Tensor>& batches, const RefitOptions& options)>
      refit;
};

/// A pruned copy of the dense network with these layers at these ratios.
using PruneAt = std::function<graph::Graph(const std::map<std::string, double>& layer_ratios)>;

/// Curves and sensitivities of `layers` (Conv or WinogradConv nodes of `dense` that `prune` turns into masked
/// WinogradConv nodes), in the network's order. `prune` must choose each layer's mask for itself: it is
/// called once for each ratio, with all layers. Moments are gathered once for each layer, from the dense
/// network's activations. `refit` gives ridge, tiles, threads, seed, memory limit and progress. Deterministic
/// for a given thread count. Throws `Error` like `refit::refit`, and for a layer that `dense` or the pruned
/// network lacks.
std::vector<LayerCurve> measure_curves(const graph::Graph& dense, const std::vector<std::string>& layers,
                                       const PruneAt& prune, const std::vector<Tensor>& batches,
                                       const RefitOptions& refit, const CurveOptions& options = {});

/// Bounds on each layer's ratio, beside the first and last point of its curve.
struct RatioBounds {
  double floor = 0;
  double ceiling = 0.95;
};

/// What one layer was given.
struct LayerShare {
  std::string layer;
  double ratio = 0;
  CurvePoint point;  ///< of the curve, at `ratio`
  double cost = 0;

  /// Damage for a unit of squared error; 0 without error.
  double sensitivity() const { return point.squared_error > 0 ? point.damage / point.squared_error : 0; }
};

/// Ratios of all layers with a curve, in the order of `curves`, such that sum(cost ratio) = `ratio`
/// sum(cost), or more where the floors ask for it. `cost`: what a layer costs unpruned, by name; a layer
/// whose cost is 0 (or less) stays at its floor. Layers whose marginal damage is equal rise together.
/// Deterministic. Throws `Error` when the bounds do not allow the ratio, when no layer has a curve and a
/// cost, and for a layer without an entry in `cost` or with a number that is not finite.
std::vector<LayerShare> allocate(const std::vector<LayerCurve>& curves,
                                 const std::map<std::string, double>& cost, double ratio,
                                 const RatioBounds& bounds = {});

/// The largest ratio that `allocate` can meet; 0 when no layer has a curve and a cost.
double largest_ratio(const std::vector<LayerCurve>& curves, const std::map<std::string, double>& cost,
                     const RatioBounds& bounds = {});

}  // namespace wins::refit
