// Shape inference of a whole graph, with unknown extents.
#include <algorithm>

#include "infer.hpp"
#include "wins/graph/evaluate.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::graph {
namespace {

/// Longest shape tensor that is followed.
constexpr std::int64_t kMaxTracked = 1024;

bool has_unknown(const Tensor& tensor) {
  if (tensor.dtype() != DType::i64) return false;
  const auto data = tensor.data<std::int64_t>();
  return std::find(data.begin(), data.end(), kUnknownElement) != data.end();
}

/// Whether the operator copies elements of input 0 (and, for Concat, of all inputs) unchanged.
bool only_moves(const Op& op) {
  return std::visit(
      []<class T>(const T&) {
        return std::is_same_v<T, Gather> || std::is_same_v<T, Slice> || std::is_same_v<T, Concat> ||
               std::is_same_v<T, Squeeze> || std::is_same_v<T, Unsqueeze> || std::is_same_v<T, Reshape> ||
               std::is_same_v<T, Flatten> || std::is_same_v<T, Split> || std::is_same_v<T, Cast>;
      },
      op);
}

/// Follows the integers that make up shapes, some of them unknown.
class ShapeTensors {
 public:
  explicit ShapeTensors(const Graph& graph) : graph_(graph), known_(graph.values.size()) {}

  const Tensor* find(ValueId id) const {
    if (graph_.value(id).constant) return &*graph_.value(id).constant;
    const auto& tensor = known_[static_cast<std::size_t>(id)];
    return tensor ? &*tensor : nullptr;
  }

  void follow(const Node& node, std::span<const ValueInfo> inputs, const Inferred& outputs) {
    for (const ValueInfo& output : outputs) {
      if (output.dtype != DType::i64 || !output.shape) return;
      std::int64_t count = 1;
      for (const std::int64_t extent : *output.shape) {
        if (extent < 0 || extent > kMaxTracked) return;
        count *= extent;
        if (count > kMaxTracked) return;
      }
    }
    if (const auto* shape = node.as<graph::Shape>()) return follow_shape(node, *shape, inputs[0]);
    follow_values(node, inputs, outputs);
  }

 private:
  void follow_shape(const Node& node, const graph::Shape& op, const ValueInfo& input) {
    if (!input.shape) return;
    Ints extents;
    const auto rank = static_cast<std::int64_t>(input.shape->size());
    const AxisSlice slice = resolve_slice(op.start, op.end.value_or(rank), 1, rank);
    for (std::int64_t i = 0; i < slice.count; ++i) {
      const std::int64_t extent = (*input.shape)[static_cast<std::size_t>(slice.start + i)];
      extents.push_back(extent < 0 ? kUnknownElement : extent);
    }
    set(node.outputs[0], Tensor::of<std::int64_t>({slice.count}, extents));
  }

  void follow_values(const Node& node, std::span<const ValueInfo> inputs, const Inferred& outputs) {
    if (!can_evaluate(node.op)) return;
    std::vector<const Tensor*> tensors;
    bool data_unknown = false, index_unknown = false;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Tensor* tensor = inputs[i].constant;
      if (inputs[i].present && (tensor == nullptr || tensor->size() > kMaxTracked)) return;
      tensors.push_back(tensor);
      if (tensor == nullptr || !has_unknown(*tensor)) continue;
      (i == 0 || node.as<Concat>() ? data_unknown : index_unknown) = true;
    }
    if (data_unknown || index_unknown) {
      const bool moves =
          only_moves(node.op) && !index_unknown && (!node.as<Cast>() || inputs[0].dtype == DType::i64);
      if (!moves) {
        if (node.as<Binary>()) set(node.outputs[0], unknown(*outputs[0].shape));
        return;
      }
    }
    std::vector<Tensor> values = evaluate(node, tensors);
    for (std::size_t i = 0; i < values.size(); ++i) set(node.outputs[i], std::move(values[i]));
  }

  static Tensor unknown(const wins::Shape& shape) {
    Tensor tensor(DType::i64, shape);
    std::ranges::fill(tensor.mutable_data<std::int64_t>(), kUnknownElement);
    return tensor;
  }

  void set(ValueId id, Tensor tensor) { known_[static_cast<std::size_t>(id)] = std::move(tensor); }

  const Graph& graph_;
  std::vector<std::optional<Tensor>> known_;
};

}  // namespace

void infer_shapes(Graph& graph) {
  ShapeTensors tensors(graph);
  for (Value& value : graph.values) {
    if (!value.constant) continue;
    value.shape = value.constant->shape();
    value.dtype = value.constant->dtype();
  }
  for (const Node& node : graph.nodes) {
    std::vector<ValueInfo> inputs;
    for (const ValueId id : node.inputs) {
      inputs.push_back(id == kNone
                           ? ValueInfo::absent()
                           : ValueInfo{graph.value(id).dtype, graph.value(id).shape, tensors.find(id)});
    }
    const Inferred outputs = infer_node(node, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      graph.value(node.outputs[i]).shape = outputs[i].shape;
      graph.value(node.outputs[i]).dtype = outputs[i].dtype;
    }
    tensors.follow(node, inputs, outputs);
  }
}

}  // namespace wins::graph
