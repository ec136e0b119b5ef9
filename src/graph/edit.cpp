#include "wins/graph/edit.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/error.hpp"

namespace wins::graph {

Node& node_named(Graph& graph, const std::string& name) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                                  [&](const Node& node) { return node.name == name; });
  require(found != graph.nodes.end(), "{}: no such node", name);
  return *found;
}

void set_constant_input(Graph& graph, const std::string& node_name, std::size_t i, Tensor tensor,
                        const std::string& own_name) {
  Node& node = node_named(graph, node_name);
  const ValueId old = node.inputs.at(i);
  const bool read_once = graph.consumers(old).size() == 1 &&
                         std::count(node.inputs.begin(), node.inputs.end(), old) == 1 &&
                         std::find(graph.outputs.begin(), graph.outputs.end(), old) == graph.outputs.end();
  if (!read_once) {
    node.inputs[i] = graph.add_constant(own_name, std::move(tensor));
    return;
  }
  graph.value(old).shape = tensor.shape();
  graph.value(old).constant = std::move(tensor);
}

std::vector<double> batch_norm_scale(const Graph& graph, const Node& node) {
  const auto* norm = node.as<BatchNorm>();
  const Tensor* scale = norm == nullptr ? nullptr : graph.constant_input(node, 1);
  if (scale == nullptr) return {};
  for (std::size_t i = 1; i <= 4; ++i) {
    const Tensor* part = graph.constant_input(node, i);
    if (part == nullptr || part->dtype() != DType::f32 || part->size() != scale->size()) return {};
  }
  const auto factors = scale->data<float>(), variances = graph.constant_input(node, 4)->data<float>();
  std::vector<double> result;
  for (std::size_t k = 0; k < factors.size(); ++k) {
    const double spread = static_cast<double>(variances[k]) + static_cast<double>(norm->epsilon);
    require(spread > 0, "{}: variance of channel {} is not positive", node.name, k);
    result.push_back(static_cast<double>(factors[k]) / std::sqrt(spread));
  }
  return result;
}

}  // namespace wins::graph
