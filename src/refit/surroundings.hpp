// What follows a linear layer: its batch norm, and the residual add that it feeds.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// Where a layer's output goes.
struct Surroundings {
  std::string batch_norm;     ///< node that alone reads the output; empty without one
  std::vector<double> scale;  ///< factor of each channel up to the add (1 without batch norm)
  std::string other_branch;   ///< value that is added to it, without anything non-linear between; or empty
};
Surroundings surroundings(const graph::Graph& graph, const graph::Node& layer);

}  // namespace wins::refit
