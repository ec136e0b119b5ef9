// Whether two values of a graph with dynamic extents always have the same shape.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Where extents are unknown, compares the shapes of two trial specialisations of the graph as it
/// stood at construction, taken when first needed.
class ShapeProbe {
 public:
  explicit ShapeProbe(const Graph& graph) : graph_(graph) {}

  /// `a` and `b` are values of `current`, found by name in the trials.
  bool same(const Graph& current, ValueId a, ValueId b);

 private:
  using Shapes = std::map<std::string, wins::Shape>;
  void take_trials();

  Graph graph_;
  std::optional<std::vector<Shapes>> trials_;
};

}  // namespace wins::graph
