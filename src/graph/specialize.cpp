// A graph for concrete input shapes: no unknown extents, no shape arithmetic left.
#include <algorithm>

#include "infer.hpp"
#include "wins/graph/evaluate.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::graph {
namespace {

/// Folding never costs more elements than this, or a few times the weights when those are larger.
constexpr std::int64_t kFoldBudget = std::int64_t{1} << 25;

class Specializer {
 public:
  Specializer(const Graph& graph, std::int64_t max_elements) : graph_(graph), max_elements_(max_elements) {
    std::int64_t weights = 0;
    for (Value& value : graph_.values) {
      if (!value.constant) {
        value.shape.reset();
        continue;
      }
      value.shape = value.constant->shape();
      value.dtype = value.constant->dtype();
      weights += value.constant->size();
    }
    fold_budget_ = std::max(kFoldBudget, 4 * std::min(weights, max_elements));
  }

  Graph run(const std::vector<wins::Shape>& input_shapes, const Graph& original) {
    wins::require(input_shapes.size() == graph_.inputs.size(), "graph '{}' has {} inputs, got {} shapes",
                  graph_.name, graph_.inputs.size(), input_shapes.size());
    for (std::size_t i = 0; i < input_shapes.size(); ++i) {
      check_input(original.value(graph_.inputs[i]), input_shapes[i]);
      graph_.value(graph_.inputs[i]).shape = input_shapes[i];
    }
    std::vector<Node> kept;
    for (Node& node : graph_.nodes) {
      if (!visit(node)) kept.push_back(std::move(node));
    }
    graph_.nodes = std::move(kept);
    remove_unused(graph_);
    return std::move(graph_);
  }

 private:
  void check_input(const Value& declared, const wins::Shape& shape) const {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) {
      wins::require(extent > 0 && extent <= kMaxExtent, "input '{}': shape {} is not concrete", declared.name,
                    to_string(shape));
      wins::require(!__builtin_mul_overflow(count, extent, &count) && count <= max_elements_,
                    "input '{}': shape {} exceeds {} elements", declared.name, to_string(shape),
                    max_elements_);
    }
    if (!declared.shape) return;
    bool fits = declared.shape->size() == shape.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i) {
      fits = (*declared.shape)[i] < 0 || (*declared.shape)[i] == shape[i];
    }
    wins::require(fits, "input '{}': shape {} does not fit {}", declared.name, to_string(shape),
                  to_string(*declared.shape));
  }

  /// Gives the node's outputs their shapes; true when the node was folded away.
  bool visit(Node& node) {
    std::vector<ValueInfo> inputs;
    std::vector<const Tensor*> tensors;
    bool constant = true;
    for (const ValueId id : node.inputs) {
      if (id == kNone) {
        inputs.push_back(ValueInfo::absent());
        tensors.push_back(nullptr);
        continue;
      }
      const Value& value = graph_.value(id);
      tensors.push_back(value.constant ? &*value.constant : nullptr);
      inputs.push_back({value.dtype, value.shape, tensors.back()});
      constant = constant && value.constant;
    }
    const InferContext context(node, inputs);
    const Inferred outputs = infer_node(node, inputs);
    const std::int64_t elements = apply(node, context, outputs);
    resolve_window(node.op, context);
    if (const auto* shape = node.as<graph::Shape>()) {
      fold_shape(node, *shape, *inputs[0].shape);
      return true;
    }
    if (!constant || elements > fold_budget_ || !can_evaluate(node.op)) return false;
    fold_budget_ -= elements;
    std::vector<Tensor> values = evaluate(node, tensors);
    for (std::size_t i = 0; i < values.size(); ++i)
      graph_.value(node.outputs[i]).constant = std::move(values[i]);
    return true;
  }

  /// Stores the inferred shapes; gives the number of elements of all outputs.
  std::int64_t apply(const Node& node, const InferContext& context, const Inferred& outputs) {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::int64_t count = outputs[i].shape ? context.count(*outputs[i].shape) : -1;
      context.require(count >= 0, "its output shape depends on data");
      context.require(count <= max_elements_, "an output of {} elements exceeds {}", count, max_elements_);
      total += count;
      Value& value = graph_.value(node.outputs[i]);
      value.shape = outputs[i].shape;
      value.dtype = outputs[i].dtype;
    }
    return total;
  }

  void fold_shape(const Node& node, const graph::Shape& op, const wins::Shape& input) {
    const auto rank = static_cast<std::int64_t>(input.size());
    const AxisSlice slice = resolve_slice(op.start, op.end.value_or(rank), 1, rank);
    const auto begin = input.begin() + slice.start;
    graph_.value(node.outputs[0]).constant =
        Tensor::of<std::int64_t>({slice.count}, Ints(begin, begin + slice.count));
  }

  Graph graph_;
  std::int64_t max_elements_;
  std::int64_t fold_budget_ = 0;
};

/// Positive integer in the metadata, or `fallback`.
std::int64_t metadata_extent(const Graph& graph, const std::string& key, std::int64_t fallback) {
  const auto found = graph.metadata.find(key);
  if (found == graph.metadata.end()) return fallback;
  const std::string& text = found->second;
  const bool digits = !text.empty() && text.size() <= 9 &&
                      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits && std::stoll(text) > 0 ? std::stoll(text) : fallback;
}

}  // namespace

Graph specialize(const Graph& graph, const std::vector<wins::Shape>& input_shapes,
                 std::int64_t max_elements) {
  return Specializer(graph, max_elements).run(input_shapes, graph);
}

std::vector<wins::Shape> default_input_shapes(const Graph& graph, std::int64_t batch, std::int64_t spatial) {
  const std::int64_t fallbacks[] = {
      batch,
      metadata_extent(graph, "wins.input.channels", 3),
      spatial > 0 ? spatial : metadata_extent(graph, "wins.input.height", 224),
      spatial > 0 ? spatial : metadata_extent(graph, "wins.input.width", 224),
  };
  std::vector<wins::Shape> shapes;
  for (const ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    wins::require(value.shape.has_value(), "input '{}' has no known rank: give its shape", value.name);
    wins::Shape shape = *value.shape;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = fallbacks[std::min<std::size_t>(i, 3)];
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

}  // namespace wins::graph
