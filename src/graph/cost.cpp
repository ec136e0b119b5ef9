#include "wins/graph/cost.hpp"

#include <numeric>

#include "wins/base/error.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::graph {
namespace {

/// Shapes of the values around one node, and the cost being filled in.
struct Counter {
  const Graph& graph;
  const Node& node;
  NodeCost& cost;

  const wins::Shape& shape(ValueId id) const {
    const Value& value = graph.value(id);
    wins::require(value.shape.has_value(), "node '{}': shapes are needed to count its cost", node.name);
    return *value.shape;
  }
  const wins::Shape& input(std::size_t i) const { return shape(node.inputs[i]); }
  const wins::Shape& output() const { return shape(node.outputs[0]); }
  /// Elements of input `i` when it is a constant (a weight), else 0.
  std::int64_t weights(std::size_t i) const {
    const Tensor* tensor = graph.constant_input(node, i);
    return tensor == nullptr ? 0 : tensor->size();
  }
  void linear(std::int64_t macs) const { cost.direct_macs = cost.macs = macs; }
  void parameters(std::int64_t count) const { cost.parameters = cost.dense_parameters = count; }

  void operator()(const Conv&) const {
    const wins::Shape& w = input(1);
    linear(element_count(output()) * w[1] * w[2] * w[3]);
    parameters(weights(1) + weights(2));
    if (const auto mask = column_mask(graph, node)) {
      cost.macs = element_count(output()) / mask->rows * mask->kept_weights();
      cost.parameters = mask->kept_weights() + weights(2);
    }
  }
  void operator()(const ConvTranspose&) const {
    const wins::Shape& w = input(1);
    linear(element_count(input(0)) * w[1] * w[2] * w[3]);
    parameters(weights(1) + weights(2));
  }
  void operator()(const WinogradConv& op) const {
    const winograd::Mask& mask = op.mask;
    const wins::Shape& y = output();
    const std::int64_t dense = mask.positions * mask.rows * mask.columns;
    const std::int64_t kept = mask.kept_total() * mask.unit_weights();
    cost.direct_macs = element_count(y) * mask.columns * op.r * op.r;
    cost.macs = kept * winograd::tile_grid(op.m, y[2], y[3]).count() * y[0];
    cost.parameters = kept + weights(2);
    cost.dense_parameters = dense + weights(2);
  }
  void operator()(const Gemm& op) const {
    linear(element_count(output()) * input(0)[op.trans_a ? 0 : 1]);
    parameters(weights(1) + weights(2));
  }
  void operator()(const MatMul&) const {
    linear(element_count(output()) * input(0).back());
    parameters(weights(0) + weights(1));
  }
  // Mean and variance are statistics, not parameters.
  void operator()(const BatchNorm&) const { parameters(weights(1) + weights(2)); }
  void operator()(const LayerNorm&) const { parameters(weights(1) + weights(2)); }
  void operator()(const PRelu&) const { parameters(weights(1)); }
  template <class Other>
  void operator()(const Other&) const {}
};

std::int64_t sum(const std::vector<NodeCost>& nodes, std::int64_t NodeCost::*member) {
  return std::accumulate(nodes.begin(), nodes.end(), std::int64_t{0},
                         [&](std::int64_t total, const NodeCost& node) { return total + node.*member; });
}

}  // namespace

std::int64_t NetworkCost::direct_macs() const {
  return sum(nodes, &NodeCost::direct_macs);
}
std::int64_t NetworkCost::macs() const {
  return sum(nodes, &NodeCost::macs);
}
std::int64_t NetworkCost::parameters() const {
  return sum(nodes, &NodeCost::parameters);
}

double NetworkCost::pruning_ratio(const Graph& graph) const {
  std::int64_t kept = 0, all = 0;
  for (const Node& node : graph.nodes) {
    const auto* conv = node.as<WinogradConv>();
    if (conv == nullptr) continue;
    kept += conv->mask.kept_total() * conv->mask.unit_weights();
    all += conv->mask.positions * conv->mask.rows * conv->mask.columns;
  }
  return all == 0 ? 0 : 1 - static_cast<double>(kept) / static_cast<double>(all);
}

double NetworkCost::pruned_flops() const {
  const std::int64_t direct = direct_macs();
  return direct == 0 ? 0 : 1 - static_cast<double>(macs()) / static_cast<double>(direct);
}

NetworkCost count_cost(const Graph& graph) {
  NetworkCost cost;
  for (const Node& node : graph.nodes) {
    cost.nodes.push_back({node.name, op_name(node.op)});
    std::visit(Counter{graph, node, cost.nodes.back()}, node.op);
  }
  return cost;
}

}  // namespace wins::graph
