#include <algorithm>

#include "rewriter.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

std::ptrdiff_t unknown_count(const wins::Shape& shape) {
  return std::count_if(shape.begin(), shape.end(), [](std::int64_t extent) { return extent < 0; });
}

/// Whether input and output have provably the same shape; `unknowns` extents at the same place
/// may be unknown (one, when the operator keeps the number of elements).
bool same_shape(const Graph& graph, const Node& node, std::ptrdiff_t unknowns) {
  const auto& before = graph.value(node.inputs[0]).shape;
  const auto& after = graph.value(node.outputs[0]).shape;
  return before && after && *before == *after && unknown_count(*before) <= unknowns;
}

bool all_zero(const Tensor* pads) {
  if (pads == nullptr) return false;
  const Tensor wide = pads->cast(DType::i64);
  return std::ranges::all_of(wide.data<std::int64_t>(), [](std::int64_t pad) { return pad == 0; });
}

/// Whether the only output of `node` is a copy of its input 0.
struct IsIdentity {
  const Graph& graph;
  const Node& node;

  bool operator()(const Unary& op) const { return op.function.kind == UnaryKind::identity; }
  bool operator()(const Cast& op) const { return graph.value(node.inputs[0]).dtype == op.to; }
  bool operator()(const Concat&) const { return node.inputs.size() == 1; }
  bool operator()(const Pad&) const { return all_zero(graph.constant_input(node, 1)); }
  bool operator()(const Transpose& op) const {
    for (std::size_t i = 0; i < op.perm.size(); ++i) {
      if (op.perm[i] != static_cast<std::int64_t>(i)) return false;
    }
    const auto& shape = graph.value(node.inputs[0]).shape;
    return !op.perm.empty() || (shape && shape->size() <= 1);
  }
  bool operator()(const Reshape&) const { return same_shape(graph, node, 1); }
  bool operator()(const Flatten&) const { return same_shape(graph, node, 1); }
  bool operator()(const Squeeze&) const { return same_shape(graph, node, 1); }
  bool operator()(const Expand&) const { return same_shape(graph, node, 0); }
  template <class Other>
  bool operator()(const Other&) const {
    return false;
  }
};

}  // namespace

int remove_identities(Graph& graph) {
  Rewriter rewriter(graph);
  int removed = 0;
  for (std::size_t slot = 0; slot < graph.nodes.size(); ++slot) {
    const Node& node = graph.nodes[slot];
    if (!std::visit(IsIdentity{graph, node}, node.op)) continue;
    const ValueId from = node.outputs[0], to = node.inputs[0];
    if (graph.value(from).dtype != graph.value(to).dtype) continue;
    // Detached first: its own read of `to` must not be redirected to its own output.
    const Node identity = node;
    rewriter.remove(slot);
    if (rewriter.alias(from, to))
      ++removed;
    else
      rewriter.put(slot, identity);
  }
  rewriter.finish();
  return removed;
}

}  // namespace wins::graph
