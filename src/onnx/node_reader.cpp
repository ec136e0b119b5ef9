#include "node_reader.hpp"

#include <algorithm>
#include <type_traits>

#include "tensor_io.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::onnx {
namespace {

using graph::kNone;
using graph::ValueId;

/// Constants up to this many elements are folded at import, so that parameters that exporters
/// wrap in Cast, Unsqueeze or Concat are seen as constants.
constexpr std::int64_t kFoldElements = 256;

/// Nodes that shape inference may visit while nodes are read.
constexpr std::size_t kInferredNodes = 200'000;

/// Operators whose output is at most the product of their input sizes.
bool foldable(const graph::Op& op) {
  return std::visit(
      [](const auto& o) {
        using O = std::decay_t<decltype(o)>;
        return std::is_same_v<O, graph::Cast> || std::is_same_v<O, graph::Unsqueeze> ||
               std::is_same_v<O, graph::Squeeze> || std::is_same_v<O, graph::Reshape> ||
               std::is_same_v<O, graph::Concat> || std::is_same_v<O, graph::Gather> ||
               std::is_same_v<O, graph::Slice> || std::is_same_v<O, graph::Transpose> ||
               std::is_same_v<O, graph::Binary> || std::is_same_v<O, graph::Shape> ||
               std::is_same_v<O, graph::Unary>;
      },
      op);
}

}  // namespace

ValueId GraphBuilder::find(const std::string& name) const {
  const auto found = ids_.find(name);
  require(found != ids_.end(), "input '{}' does not exist", name);
  return found->second;
}

ValueId GraphBuilder::add(const std::string& name, DType dtype, std::optional<wins::Shape> shape) {
  require(!name.empty(), "a value has no name");
  const auto id = static_cast<ValueId>(graph.values.size());
  require(ids_.emplace(name, id).second, "value '{}' is made twice", name);
  graph.values.push_back({name, dtype, std::move(shape), {}});
  return id;
}

ValueId GraphBuilder::add_constant(const std::string& name, Tensor tensor) {
  const ValueId id = add(name, tensor.dtype(), tensor.shape());
  graph.value(id).constant = std::move(tensor);
  return id;
}

void GraphBuilder::alias(const std::string& name, ValueId id) {
  require(ids_.emplace(name, id).second, "value '{}' is made twice", name);
}

std::string GraphBuilder::unique_node_name(const std::string& base) {
  std::string name = base;
  while (!node_names_.emplace(name, 0).second) name = fmt::format("{}_{}", base, ++node_names_[base]);
  return name;
}

std::string GraphBuilder::unique_value_name(const std::string& base) {
  std::string name = base;
  for (int i = 1; ids_.count(name) != 0 || reserved_.count(name) != 0; ++i) name = fmt::format("{}_{}", base, i);
  return name;
}

std::optional<std::int64_t> GraphBuilder::rank(ValueId id) {
  const auto rank_of = [](const std::optional<wins::Shape>& shape) -> std::optional<std::int64_t> {
    if (!shape) return std::nullopt;
    return static_cast<std::int64_t>(shape->size());
  };
  if (graph.value(id).shape) return rank_of(graph.value(id).shape);
  // Each question walks the graph so far; a file cannot make that cost more than this.
  inferred_nodes_ += graph.nodes.size();
  if (inferred_nodes_ > kInferredNodes) return std::nullopt;
  try {
    graph::Graph copy = graph;
    graph::infer_shapes(copy);
    return rank_of(copy.value(id).shape);
  } catch (const Error&) {
    return std::nullopt;  // reported once the graph is complete
  }
}

void GraphBuilder::take_dense(std::int64_t elements) {
  require(elements >= 0 && elements <= dense_budget_, "its dense weights would not fit the size limit");
  dense_budget_ -= elements;
}

NodeReader::NodeReader(const pb::NodeProto& proto, int opset, const std::unordered_set<std::string>& used_values,
                       GraphBuilder& builder)
    : proto_(proto),
      opset_(opset),
      name_(builder.unique_node_name(proto.name().empty() ? proto.op_type() : proto.name())),
      used_values_(used_values),
      builder_(builder) {}

const pb::AttributeProto* NodeReader::find(const std::string& attribute) const {
  for (const auto& a : proto_.attribute()) {
    if (a.name() == attribute) return &a;
  }
  return nullptr;
}

const pb::AttributeProto* NodeReader::find(const std::string& attribute,
                                           pb::AttributeProto::AttributeType type) const {
  const pb::AttributeProto* found = find(attribute);
  if (found == nullptr) return nullptr;
  require(found->ref_attr_name().empty(), "attribute '{}' refers to a function's attribute", attribute);
  require(found->type() == type, "attribute '{}' has the wrong type", attribute);
  return found;
}

std::int64_t NodeReader::integer(const std::string& attribute, std::int64_t fallback) const {
  const auto* a = find(attribute, pb::AttributeProto::INT);
  return a != nullptr ? a->i() : fallback;
}

float NodeReader::number(const std::string& attribute, float fallback) const {
  const auto* a = find(attribute, pb::AttributeProto::FLOAT);
  return a != nullptr ? a->f() : fallback;
}

std::string NodeReader::text(const std::string& attribute, const std::string& fallback) const {
  const auto* a = find(attribute, pb::AttributeProto::STRING);
  return a != nullptr ? a->s() : fallback;
}

graph::Ints NodeReader::integers(const std::string& attribute, graph::Ints fallback) const {
  const auto* a = find(attribute, pb::AttributeProto::INTS);
  return a != nullptr ? graph::Ints(a->ints().begin(), a->ints().end()) : std::move(fallback);
}

Tensor NodeReader::tensor(const std::string& attribute) const {
  const auto* a = find(attribute, pb::AttributeProto::TENSOR);
  require(a != nullptr, "attribute '{}' is missing", attribute);
  return read_tensor(a->t());
}

void NodeReader::only(const std::string& attribute, std::int64_t value) const {
  const std::int64_t found = integer(attribute, value);
  require(found == value, "{} = {} is not supported", attribute, found);
}

void NodeReader::only(const std::string& attribute, const std::string& value) const {
  const std::string found = text(attribute, value);
  require(found == value, "{} = '{}' is not supported", attribute, found);
}

ValueId NodeReader::input(std::size_t i) const {
  if (i >= input_count() || proto_.input(static_cast<int>(i)).empty()) return kNone;
  return builder_.find(proto_.input(static_cast<int>(i)));
}

ValueId NodeReader::required(std::size_t i) const {
  const ValueId id = input(i);
  require(id != kNone, "input {} is missing", i);
  return id;
}

std::vector<ValueId> NodeReader::inputs() const {
  std::vector<ValueId> ids;
  for (std::size_t i = 0; i < input_count(); ++i) ids.push_back(input(i));
  while (!ids.empty() && ids.back() == kNone) ids.pop_back();
  return ids;
}

std::optional<Tensor> NodeReader::constant(std::size_t i) const {
  const ValueId id = input(i);
  return id == kNone ? std::nullopt : builder_.graph.value(id).constant;
}

graph::Ints NodeReader::constant_ints(std::size_t i) const {
  const auto found = constant(i);
  require(found.has_value(), "input {} is computed at run time, which is not supported", i);
  require(found->dtype() == DType::i64 || found->dtype() == DType::i32, "input {} must hold integers", i);
  const Tensor wide = found->cast(DType::i64);
  const auto values = wide.data<std::int64_t>();
  return {values.begin(), values.end()};
}

std::optional<std::int64_t> NodeReader::rank(std::size_t i) const { return builder_.rank(required(i)); }

void NodeReader::refuse_output(std::size_t i, const char* what) const {
  if (i >= output_count() || output_name(i).empty()) return;
  require(used_values_.count(output_name(i)) == 0, "its output {} ({}) is used, which is not supported", i, what);
}

bool NodeReader::fold(const graph::Node& node, const std::vector<std::string>& outputs) {
  if (node.inputs.empty() || outputs.size() != 1 || !foldable(node.op)) return false;
  std::vector<const Tensor*> constants;
  for (const ValueId id : node.inputs) {
    const auto& constant = id == kNone ? std::nullopt : builder_.graph.value(id).constant;
    if (!constant || constant->size() > kFoldElements) return false;
    constants.push_back(&*builder_.graph.value(id).constant);
  }
  auto values = graph::evaluate_constant(node, constants);
  if (!values || values->size() != 1) return false;
  builder_.add_constant(outputs[0], std::move((*values)[0]));
  return true;
}

void NodeReader::push(const std::string& node_name, graph::Op op, std::vector<ValueId> ids,
                      const std::vector<std::string>& outputs) {
  while (!ids.empty() && ids.back() == kNone) ids.pop_back();
  graph::Node node{node_name, std::move(op), std::move(ids), {}};
  if (fold(node, outputs)) return;
  for (const std::string& output : outputs) node.outputs.push_back(builder_.add(output, DType::f32));
  builder_.graph.nodes.push_back(std::move(node));
}

void NodeReader::emit(graph::Op op, std::vector<ValueId> ids) {
  std::vector<std::string> outputs;
  for (std::size_t i = 0; i < output_count(); ++i) {
    outputs.push_back(output_name(i).empty() ? builder_.unique_value_name(fmt::format("{}/output_{}", name_, i))
                                             : output_name(i));
  }
  push(name_, std::move(op), std::move(ids), outputs);
}

void NodeReader::emit_first(graph::Op op, std::vector<ValueId> ids) {
  push(name_, std::move(op), std::move(ids), {output_name(0)});
}

ValueId NodeReader::emit_helper(const std::string& suffix, graph::Op op, std::vector<ValueId> ids) {
  const std::string value = builder_.unique_value_name(name_ + "/" + suffix);
  push(builder_.unique_node_name(name_ + "/" + suffix), std::move(op), std::move(ids), {value});
  return builder_.find(value);
}

ValueId NodeReader::add_constant(const std::string& suffix, Tensor tensor) {
  return builder_.add_constant(builder_.unique_value_name(name_ + "/" + suffix), std::move(tensor));
}

ValueId NodeReader::add_ints(const std::string& suffix, const graph::Ints& values) {
  return add_constant(suffix, Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
}

void NodeReader::pass_through(std::size_t i) {
  const ValueId id = required(i);
  if (builder_.is_output(output_name(0))) {
    if (auto value = constant(i)) return set_constant(*value);
    return emit_first(graph::Unary{}, {id});
  }
  builder_.alias(output_name(0), id);
}

void NodeReader::set_constant(Tensor tensor) { builder_.add_constant(output_name(0), std::move(tensor)); }

}  // namespace wins::onnx
