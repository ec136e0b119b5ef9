// One run over a graph, node by node.
#pragma once

#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::runtime::ref {

/// Node index after which each value is no longer read (outputs and constants: past the end).
std::vector<std::size_t> last_uses(const graph::Graph& graph);

class Walk {
 public:
  /// `graph` must outlive the walk. Throws `Error` when the inputs' count does not fit.
  Walk(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision);
  /// Computes node `index`; the earlier ones must be done.
  void step(std::size_t index);
  /// Drops the values that no node after `index` reads.
  void release(std::size_t index);
  /// The graph's outputs in order, float ones in the precision of the walk.
  std::vector<Tensor> outputs() const;
  std::vector<Tensor> take_values() { return std::move(values_); }

 private:
  const graph::Graph& graph_;
  Precision precision_;
  std::vector<std::size_t> last_uses_;
  std::vector<Tensor> values_;  // by ValueId
};

}  // namespace wins::runtime::ref
