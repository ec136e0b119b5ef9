// One ONNX node under import: what the parser functions of the operators work with.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "proto.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/graph.hpp"

namespace wins::onnx {

/// A graph under construction, with its names.
class GraphBuilder {
 public:
  graph::Graph graph;

  /// Value of this name; throws `Error` when nothing made it.
  graph::ValueId find(const std::string& name) const;
  bool has(const std::string& name) const { return ids_.count(name) != 0; }
  /// New value; throws `Error` when the name is taken.
  graph::ValueId add(const std::string& name, DType dtype, std::optional<wins::Shape> shape = {});
  graph::ValueId add_constant(const std::string& name, Tensor tensor);
  /// Lets `name` mean the value `id` from here on.
  void alias(const std::string& name, graph::ValueId id);
  /// `base`, or `base` with a number when it is taken.
  std::string unique_node_name(const std::string& base);
  std::string unique_value_name(const std::string& base);
  /// Keeps a name that a later value of the file will use.
  void reserve(const std::string& name) { reserved_.insert(name); }
  void mark_output(const std::string& name) { outputs_.insert(name); }
  bool is_output(const std::string& name) const { return outputs_.count(name) != 0; }
  /// Rank of a value, by shape inference over the graph so far when needed; nothing when unknown.
  std::optional<std::int64_t> rank(graph::ValueId id);
  /// Weights that pruned layers may unpack to, in elements (set once, counted down).
  void set_dense_budget(std::int64_t elements) { dense_budget_ = elements; }
  void take_dense(std::int64_t elements);

 private:
  std::unordered_map<std::string, graph::ValueId> ids_;
  std::unordered_set<std::string> reserved_;
  std::unordered_set<std::string> outputs_;
  std::unordered_map<std::string, int> node_names_;
  std::size_t inferred_nodes_ = 0;
  std::int64_t dense_budget_ = 0;
};

/// Attributes, inputs and outputs of one node. Every method that refuses throws `Error` with the
/// bare reason; the importer adds file, node and operator, and goes on to the next node.
class NodeReader {
 public:
  NodeReader(const pb::NodeProto& proto, int opset, const std::unordered_set<std::string>& used_values,
             GraphBuilder& builder);

  int opset() const { return opset_; }
  const std::string& name() const { return name_; }
  const pb::NodeProto& proto() const { return proto_; }

  bool has(const std::string& attribute) const { return find(attribute) != nullptr; }
  std::int64_t integer(const std::string& attribute, std::int64_t fallback) const;
  float number(const std::string& attribute, float fallback) const;
  std::string text(const std::string& attribute, const std::string& fallback) const;
  graph::Ints integers(const std::string& attribute, graph::Ints fallback = {}) const;
  /// Tensor attribute; throws when absent.
  Tensor tensor(const std::string& attribute) const;
  /// Refuses the node unless the attribute is absent or equal to `value`.
  void only(const std::string& attribute, std::int64_t value) const;
  void only(const std::string& attribute, const std::string& value) const;

  std::size_t input_count() const { return static_cast<std::size_t>(proto_.input_size()); }
  std::size_t output_count() const { return static_cast<std::size_t>(proto_.output_size()); }
  /// kNone when absent.
  graph::ValueId input(std::size_t i) const;
  /// Like `input`, refusing the node when absent.
  graph::ValueId required(std::size_t i) const;
  /// All inputs, absent ones as kNone, without trailing ones.
  std::vector<graph::ValueId> inputs() const;
  /// Constant behind input `i`, or nothing.
  std::optional<Tensor> constant(std::size_t i) const;
  /// Constant integers behind input `i` (int64 or int32); throws when it is not constant.
  graph::Ints constant_ints(std::size_t i) const;
  /// Rank of input `i`; nothing when it cannot be known.
  std::optional<std::int64_t> rank(std::size_t i) const;
  /// Refuses the node when the file's pruned layers would unpack to more than any real network.
  void take_dense(std::int64_t elements) const { builder_.take_dense(elements); }
  const std::string& output_name(std::size_t i) const { return proto_.output(static_cast<int>(i)); }
  /// Refuses the node when something reads output `i` (a dropout mask, pooling indices).
  void refuse_output(std::size_t i, const char* what) const;

  /// Adds the node itself: same name, all outputs (or only the first).
  void emit(graph::Op op, std::vector<graph::ValueId> inputs);
  void emit_first(graph::Op op, std::vector<graph::ValueId> inputs);
  /// Adds a helper node before it and returns its output.
  graph::ValueId emit_helper(const std::string& suffix, graph::Op op, std::vector<graph::ValueId> inputs);
  graph::ValueId add_constant(const std::string& suffix, Tensor tensor);
  graph::ValueId add_ints(const std::string& suffix, const graph::Ints& values);
  /// The first output is this input: nothing to compute. A graph output keeps its name.
  void pass_through(std::size_t i);
  /// The first output is this constant.
  void set_constant(Tensor tensor);

 private:
  const pb::AttributeProto* find(const std::string& attribute) const;
  const pb::AttributeProto* find(const std::string& attribute, pb::AttributeProto::AttributeType type) const;
  void push(const std::string& node_name, graph::Op op, std::vector<graph::ValueId> inputs,
            const std::vector<std::string>& outputs);
  bool fold(const graph::Node& node, const std::vector<std::string>& outputs);

  const pb::NodeProto& proto_;
  int opset_;
  std::string name_;
  const std::unordered_set<std::string>& used_values_;
  GraphBuilder& builder_;
};

}  // namespace wins::onnx
