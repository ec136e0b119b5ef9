#include "wins/refit/surroundings.hpp"

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

/// Takes in the batch norm that reads `output`; the value behind it.
graph::ValueId pass_batch_norm(const graph::Graph& graph, graph::ValueId output, Surroundings& result) {
  const graph::Node* next = only_reader(graph, output);
  if (next == nullptr || next->input(0) != output) return output;
  const std::vector<double> scale = graph::batch_norm_scale(graph, *next);
  if (scale.size() != result.scale.size()) return output;
  result.batch_norm = next->name;
  result.scale = scale;
  const auto shift = graph.constant_input(*next, 2)->data<float>();
  const auto mean = graph.constant_input(*next, 3)->data<float>();
  for (std::size_t k = 0; k < scale.size(); ++k)
    result.offset[k] = static_cast<double>(shift[k]) - scale[k] * static_cast<double>(mean[k]);
  return next->outputs.at(0);
}

/// Takes in the residual add that reads `output`; the value behind it, or none where the sum cannot be
/// followed.
graph::ValueId pass_add(const graph::Graph& graph, graph::ValueId output, Surroundings& result) {
  const graph::Node* next = only_reader(graph, output);
  const auto* add = next == nullptr ? nullptr : next->as<graph::Binary>();
  if (add == nullptr) return output;
  if (add->kind != graph::BinaryKind::add || add->activation != graph::Activation{}) return graph::kNone;
  const graph::ValueId other = next->input(0) == output ? next->input(1) : next->input(0);
  if (other == output || graph.value(other).constant || graph.value(other).shape != graph.value(output).shape)
    return graph::kNone;
  result.other_branch = graph.value(other).name;
  return next->outputs.at(0);
}

}  // namespace

Surroundings surroundings(const graph::Graph& graph, const graph::Node& layer) {
  Surroundings result;
  graph::ValueId output = layer.outputs.at(0);
  const auto channels = static_cast<std::size_t>(graph.value(output).shape->at(1));
  result.scale.assign(channels, 1.0);
  result.offset.assign(channels, 0.0);
  output = pass_add(graph, pass_batch_norm(graph, output, result), result);
  if (output == graph::kNone) return result;
  const graph::Node* next = only_reader(graph, output);
  const auto* unary = next == nullptr ? nullptr : next->as<graph::Unary>();
  if (unary == nullptr) return result;
  if (unary->function.kind == graph::UnaryKind::relu) result.low = 0;
  if (unary->function.kind == graph::UnaryKind::clip) {
    result.low = static_cast<double>(unary->function.alpha);
    result.high = static_cast<double>(unary->function.beta);
  }
  return result;
}

}  // namespace wins::refit
