// What follows a linear layer up to the next non-linear step: batch norm, residual add, activation.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// A channel whose batch norm factor is below this share of the layer's largest is as good as switched off: targets
/// for it would be beyond all measure.
inline constexpr double kSwitchedOff = 1e-3;

/// Where a layer's output y goes: min(max(scale y + offset + other branch, low), high).
struct Surroundings {
  std::string batch_norm;              ///< node that alone reads the output; empty without one
  std::vector<double> scale, offset;   ///< of each channel up to the add (1 and 0 without batch norm)
  std::string other_branch;            ///< value that is added, without anything non-linear between; or empty
  double low = -std::numeric_limits<double>::infinity();  ///< of the Relu or Clip behind it; -inf without one
  double high = std::numeric_limits<double>::infinity();

  /// Stops at the add: what comes behind it is not known yet.
  void end_before_sum() {
    other_branch.clear();
    low = -std::numeric_limits<double>::infinity();
    high = std::numeric_limits<double>::infinity();
  }
  bool clamps() const { return std::isfinite(low) || std::isfinite(high); }
};
Surroundings surroundings(const graph::Graph& graph, const graph::Node& layer);

}  // namespace wins::refit
