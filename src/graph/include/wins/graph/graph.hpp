// A network: values, nodes in execution order, inputs, outputs, metadata.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/graph/ops.hpp"

namespace wins::graph {

/// Index into Graph::values.
using ValueId = std::int32_t;
/// An optional input that is absent.
inline constexpr ValueId kNone = -1;

struct Value {
  std::string name;  ///< unique in the graph
  DType dtype = DType::f32;
  /// Known extents (-1 where dynamic), or nothing when the rank is unknown.
  std::optional<wins::Shape> shape;
  /// Weights and folded constants.
  std::optional<Tensor> constant;
};

struct Node {
  std::string name;  ///< unique in the graph; the name users see in every report
  Op op;
  std::vector<ValueId> inputs;  ///< kNone for an absent optional input; no trailing kNone
  std::vector<ValueId> outputs;

  template <class T> const T* as() const { return std::get_if<T>(&op); }
  template <class T> T* as() { return std::get_if<T>(&op); }
  ValueId input(std::size_t i) const { return i < inputs.size() ? inputs[i] : kNone; }
};

/// Value-semantic: copies share weight storage (see Tensor) until one side writes.
struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  ///< every node stands after the producers of its inputs
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  /// Free-form, kept through import and export (preprocessing, class names, decisions).
  std::map<std::string, std::string> metadata;

  const Value& value(ValueId id) const { return values.at(static_cast<std::size_t>(id)); }
  Value& value(ValueId id) { return values.at(static_cast<std::size_t>(id)); }
  /// Adds a value; a name that is taken gets a suffix.
  ValueId add_value(std::string name, DType dtype, std::optional<wins::Shape> shape = {});
  ValueId add_constant(std::string name, Tensor tensor);
  /// Appends a node with one new output and returns that output.
  ValueId add_node(std::string name, Op op, std::vector<ValueId> inputs, std::optional<wins::Shape> shape = {});

  const Node* find_node(std::string_view node_name) const;
  /// Node that makes `id`, or nullptr for inputs and constants.
  const Node* producer(ValueId id) const;
  /// Indices of the nodes that read `id`.
  std::vector<std::size_t> consumers(ValueId id) const;
  /// Constant behind input `i` of `node`, or nullptr.
  const Tensor* constant_input(const Node& node, std::size_t i) const;
};

/// Throws `Error` listing every broken invariant (dangling ids, order, duplicate names, arity).
void validate(const Graph& graph);

/// Drops nodes and values that no output needs, and renumbers.
void remove_unused(Graph& graph);

}  // namespace wins::graph
