#include "walk.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::runtime::ref {

std::vector<std::size_t> last_uses(const graph::Graph& graph) {
  std::vector<std::size_t> last(graph.values.size(), 0);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const auto* ids : {&graph.nodes[i].inputs, &graph.nodes[i].outputs}) {
      for (const graph::ValueId id : *ids) {
        if (id != graph::kNone) last[static_cast<std::size_t>(id)] = i;
      }
    }
  }
  for (const graph::ValueId id : graph.outputs) last[static_cast<std::size_t>(id)] = graph.nodes.size();
  return last;
}

Walk::Walk(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision)
    : graph_(graph), precision_(precision), last_uses_(last_uses(graph)), values_(graph.values.size()) {
  require(inputs.size() == graph.inputs.size(), "the network has {} inputs, {} were given", graph.inputs.size(),
          inputs.size());
  const DType float_type = precision == Precision::float64 ? DType::f64 : DType::f32;
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    if (graph.values[i].constant) values_[i] = *graph.values[i].constant;
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const graph::Value& value = graph.value(graph.inputs[i]);
    require(inputs[i].defined(), "input '{}' has no data", value.name);
    const bool is_float = inputs[i].dtype() == DType::f32 || inputs[i].dtype() == DType::f64;
    values_[static_cast<std::size_t>(graph.inputs[i])] = is_float ? inputs[i].cast(float_type) : inputs[i];
  }
}

void Walk::step(std::size_t index) {
  const graph::Node& node = graph_.nodes.at(index);
  std::vector<const Tensor*> inputs;
  for (const graph::ValueId id : node.inputs) {
    inputs.push_back(id == graph::kNone ? nullptr : &values_[static_cast<std::size_t>(id)]);
  }
  std::vector<Tensor> outputs = run_node(node, inputs, precision_);
  require(outputs.size() >= node.outputs.size(), "node '{}' gave {} outputs, {} were expected", node.name,
          outputs.size(), node.outputs.size());
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == graph::kNone) continue;
    values_[static_cast<std::size_t>(node.outputs[i])] = std::move(outputs[i]);
  }
}

void Walk::release(std::size_t index) {
  const graph::Node& node = graph_.nodes.at(index);
  for (const auto* ids : {&node.inputs, &node.outputs}) {
    for (const graph::ValueId id : *ids) {
      if (id != graph::kNone && last_uses_[static_cast<std::size_t>(id)] <= index) {
        values_[static_cast<std::size_t>(id)] = Tensor();
      }
    }
  }
}

std::vector<Tensor> Walk::outputs() const {
  const DType float_type = precision_ == Precision::float64 ? DType::f64 : DType::f32;
  std::vector<Tensor> result;
  for (const graph::ValueId id : graph_.outputs) {
    const Tensor& value = values_[static_cast<std::size_t>(id)];
    const bool is_float = value.dtype() == DType::f32 || value.dtype() == DType::f64;
    result.push_back(is_float ? value.cast(float_type) : value);
  }
  return result;
}

}  // namespace wins::runtime::ref
