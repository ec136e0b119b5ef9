// Graph nodes -> ONNX nodes.
#pragma once

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "model_file.hpp"
#include "proto.hpp"
#include "wins/graph/graph.hpp"

namespace wins::onnx {

/// Writes nodes into `file`, and remembers which values its caller must write as initialisers.
class NodeWriter {
 public:
  NodeWriter(const graph::Graph& graph, ModelFile& file);

  /// One graph node: one or more ONNX nodes (fused residual and activation stand on their own).
  void write(const graph::Node& node);

  /// Constants that some written node, or an output of the graph, reads.
  const std::unordered_set<graph::ValueId>& used_constants() const { return used_constants_; }

  // What the writers of the operators (node_writer.cpp) work with.

  std::string input(const graph::Node& node, std::size_t i);
  std::vector<std::string> inputs(const graph::Node& node);
  std::string output(const graph::Node& node, std::size_t i = 0) const;
  /// A new value name that starts with `base`.
  std::string fresh(const std::string& base);
  std::string add_initialiser(const std::string& base, const Tensor& tensor);
  pb::NodeProto& add(const std::string& op, const std::string& name, std::vector<std::string> node_inputs,
                     const std::vector<std::string>& outputs);
  /// All inputs and outputs of the node as they are.
  pb::NodeProto& add_plain(const std::string& op, const graph::Node& node);
  /// Node(s) that compute `function` from value `from` into value `to`.
  void add_activation(const graph::Activation& function, const std::string& name, const std::string& from,
                      const std::string& to);
  /// The convolution alone, without its residual and activation, into value `to`.
  void add_winograd(const graph::WinogradConv& conv, const graph::Node& node, const std::string& to);

 private:
  const graph::Graph& graph_;
  ModelFile& file_;
  std::unordered_set<std::string> names_;
  std::unordered_set<graph::ValueId> used_constants_;
  std::unordered_set<std::string> functions_;  ///< overloads of WinogradConv written
};

}  // namespace wins::onnx
