#include "surroundings.hpp"

#include <algorithm>

#include "wins/graph/edit.hpp"

namespace wins::refit {
namespace {

/// The node that alone reads `id`, if it is no output of the network.
const graph::Node* only_reader(const graph::Graph& graph, graph::ValueId id) {
  const std::vector<std::size_t> readers = graph.consumers(id);
  const bool output = std::find(graph.outputs.begin(), graph.outputs.end(), id) != graph.outputs.end();
  return readers.size() == 1 && !output ? &graph.nodes[readers[0]] : nullptr;
}

}  // namespace

Surroundings surroundings(const graph::Graph& graph, const graph::Node& layer) {
  Surroundings result;
  graph::ValueId output = layer.outputs.at(0);
  const auto channels = static_cast<std::size_t>(graph.value(output).shape->at(1));
  result.scale.assign(channels, 1.0);
  const graph::Node* next = only_reader(graph, output);
  if (next != nullptr && next->input(0) == output) {
    const std::vector<double> scale = graph::batch_norm_scale(graph, *next);
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
