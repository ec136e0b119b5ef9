#include "wins/graph/graph.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::graph {
namespace {

/// `name`, or `name_<number>` when another value has it already.
std::string unique_name(const Graph& graph, const std::string& name) {
  const auto taken = [&](const std::string& candidate) {
    return std::any_of(graph.values.begin(), graph.values.end(),
                       [&](const Value& value) { return value.name == candidate; });
  };
  std::string candidate = name;
  // Counting from the number of values finds a free name at once, however often `name` repeats.
  for (std::size_t suffix = graph.values.size(); taken(candidate); ++suffix) {
    candidate = fmt::format("{}_{}", name, suffix);
  }
  return candidate;
}

}  // namespace

ValueId Graph::add_value(std::string value_name, DType dtype, std::optional<wins::Shape> shape) {
  values.push_back({unique_name(*this, value_name), dtype, std::move(shape), {}});
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::add_constant(std::string value_name, Tensor tensor) {
  const ValueId id = add_value(std::move(value_name), tensor.dtype(), tensor.shape());
  value(id).constant = std::move(tensor);
  return id;
}

ValueId Graph::add_node(std::string node_name, Op op, std::vector<ValueId> node_inputs,
                        std::optional<wins::Shape> shape) {
  const bool typed = !node_inputs.empty() && node_inputs.front() != kNone;
  DType dtype = typed ? value(node_inputs.front()).dtype : DType::f32;
  if (const auto* cast = std::get_if<Cast>(&op)) dtype = cast->to;
  if (std::holds_alternative<graph::Shape>(op)) dtype = DType::i64;
  if (const auto* fill = std::get_if<ConstantOfShape>(&op)) {
    dtype = fill->value.defined() ? fill->value.dtype() : DType::f32;
  }
  const ValueId output = add_value(node_name, dtype, std::move(shape));
  nodes.push_back({std::move(node_name), std::move(op), std::move(node_inputs), {output}});
  return output;
}

const Node* Graph::find_node(std::string_view node_name) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.name == node_name; });
  return found == nodes.end() ? nullptr : &*found;
}

const Node* Graph::producer(ValueId id) const {
  if (id == kNone) return nullptr;
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const Node& node) {
    return std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end();
  });
  return found == nodes.end() ? nullptr : &*found;
}

std::vector<std::size_t> Graph::consumers(ValueId id) const {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& read = nodes[i].inputs;
    if (std::find(read.begin(), read.end(), id) != read.end()) result.push_back(i);
  }
  return result;
}

const Tensor* Graph::constant_input(const Node& node, std::size_t i) const {
  const ValueId id = node.input(i);
  if (id == kNone || !value(id).constant) return nullptr;
  return &*value(id).constant;
}

void remove_unused(Graph& graph) {
  std::vector<char> needed(graph.values.size(), 0);
  const auto need = [&](ValueId id) {
    if (id != kNone) needed[static_cast<std::size_t>(id)] = 1;
  };
  std::vector<char> keep(graph.nodes.size(), 0);
  for (const ValueId id : graph.outputs) need(id);
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    keep[i] = std::any_of(node.outputs.begin(), node.outputs.end(),
                          [&](ValueId id) { return needed[static_cast<std::size_t>(id)] != 0; });
    if (!keep[i]) continue;
    for (const ValueId id : node.inputs) need(id);
    for (const ValueId id : node.outputs) need(id);
  }
  for (const ValueId id : graph.inputs) need(id);

  std::vector<ValueId> renumbered(graph.values.size(), kNone);
  std::vector<Value> values;
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    if (!needed[i]) continue;
    renumbered[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(graph.values[i]));
  }
  const auto renumber = [&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids) id = id == kNone ? kNone : renumbered[static_cast<std::size_t>(id)];
  };
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!keep[i]) continue;
    nodes.push_back(std::move(graph.nodes[i]));
    renumber(nodes.back().inputs);
    renumber(nodes.back().outputs);
  }
  graph.values = std::move(values);
  graph.nodes = std::move(nodes);
  renumber(graph.inputs);
  renumber(graph.outputs);
}

}  // namespace wins::graph
