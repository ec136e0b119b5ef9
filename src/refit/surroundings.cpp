#include "surroundings.hpp"

#include <algorithm>
#include <cmath>

namespace wins::refit {
namespace {

/// The node that alone reads `id`, if it is no output of the network.
const graph::Node* only_reader(const graph::Graph& graph, graph::ValueId id) {
  const std::vector<std::size_t> readers = graph.consumers(id);
  const bool output = std::find(graph.outputs.begin(), graph.outputs.end(), id) != graph.outputs.end();
  return readers.size() == 1 && !output ? &graph.nodes[readers[0]] : nullptr;
}

}  // namespace

std::vector<double> batch_norm_scale(const graph::Graph& graph, const graph::Node& node) {
  const auto* norm = node.as<graph::BatchNorm>();
  if (norm == nullptr) return {};
  const Tensor* parts[4];
  for (std::size_t i = 0; i < 4; ++i) {
    parts[i] = graph.constant_input(node, i + 1);
    if (parts[i] == nullptr || parts[i]->dtype() != DType::f32 || parts[i]->size() != parts[0]->size()) return {};
  }
  std::vector<double> factors;
  for (std::size_t k = 0; k < static_cast<std::size_t>(parts[0]->size()); ++k) {
    const double spread = static_cast<double>(parts[3]->data<float>()[k]) + static_cast<double>(norm->epsilon);
    if (!(spread > 0)) return {};
    factors.push_back(static_cast<double>(parts[0]->data<float>()[k]) / std::sqrt(spread));
  }
  return factors;
}

Surroundings surroundings(const graph::Graph& graph, const graph::Node& layer) {
  Surroundings result;
  graph::ValueId output = layer.outputs.at(0);
  const auto channels = static_cast<std::size_t>(graph.value(output).shape->at(1));
  result.scale.assign(channels, 1.0);
  const graph::Node* next = only_reader(graph, output);
  if (next != nullptr && next->input(0) == output) {
    const std::vector<double> scale = batch_norm_scale(graph, *next);
    if (scale.size() == channels) {
      result.batch_norm = next->name;
      result.scale = scale;
      output = next->outputs.at(0);
      next = only_reader(graph, output);
    }
  }
  const auto* add = next == nullptr ? nullptr : next->as<graph::Binary>();
  if (add == nullptr || add->kind != graph::BinaryKind::add) return result;
  const graph::ValueId other = next->input(0) == output ? next->input(1) : next->input(0);
  if (other == output || graph.value(other).constant) return result;
  if (graph.value(other).shape == graph.value(output).shape) result.other_branch = graph.value(other).name;
  return result;
}

}  // namespace wins::refit
