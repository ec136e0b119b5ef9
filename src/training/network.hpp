// A Graph in libtorch: its weights as leaves, its nodes as differentiable kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compile.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/graph/graph.hpp"

namespace wins::training {

/// One trained tensor.
struct Parameter {
  std::string name;     ///< of the graph value
  at::Tensor value;     ///< leaf; requires gradients when the network was made for training
  at::Tensor mask;      ///< 0/1, broadcasts to `value`; undefined where nothing is pruned
  bool decays = false;  ///< weight decay applies: weights, not biases or normalisation
};

class Network {
 public:
  /// `trainable`: the weights require gradients. Pruned entries are set to zero and stay so: rows of WinogradConv nodes,
  /// and the columns that are zero in the 1x1 convolutions that the metadata names (graph/column_mask.hpp). A Softmax that
  /// ends the network is left out of `logits()`. Throws `Error` when weights are shared between
  /// nodes with different masks.
  /// `hints`: names of inner values that `logits_and_hints` also returns.
  Network(graph::Graph graph, at::Device device, bool trainable, const std::vector<std::string>& hints = {});
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Outputs of the graph. The graph is specialised once for each set of input shapes. Throws
  /// `Error` listing every node without a differentiable form.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, const Run& how);
  /// The same with a final Softmax or LogSoftmax left out, where class scores are wanted.
  std::vector<at::Tensor> logits(const std::vector<at::Tensor>& inputs, const Run& how);

  /// The same, followed by the hints.
  std::vector<at::Tensor> logits_and_hints(const std::vector<at::Tensor>& inputs, const Run& how);

  std::vector<Parameter>& parameters() { return parameters_; }
  /// Running mean and variance of the batch norms, by value name.
  const std::map<std::string, at::Tensor>& statistics() const { return statistics_; }
  at::Device device() const { return device_; }
  /// Number of outputs, without hints.
  std::size_t outputs() const { return outputs_; }

  /// The graph with the present weights and statistics.
  graph::Graph graph() const;

 private:
  struct Program;
  Program& program(const std::vector<at::Tensor>& inputs, bool logits);
  std::unique_ptr<Program> build(const std::vector<Shape>& shapes, bool logits);
  void collect();
  void add_parameter(graph::ValueId id, bool decays);
  void add_mask(const graph::Node& node, const graph::WinogradConv& op);
  void add_mask(const graph::Node& node, const graph::ColumnMask& columns);
  void set_mask(const graph::Node& node, const std::vector<float>& keep, const std::vector<std::int64_t>& shape);
  std::vector<at::Tensor> execute(Program& program, const std::vector<at::Tensor>& inputs, const Run& how);

  graph::Graph graph_;         ///< as given, constant expressions folded; hints are its last outputs
  std::size_t outputs_;        ///< without hints
  graph::Graph logits_graph_;  ///< without a final softmax
  at::Device device_;
  bool trainable_;
  std::vector<Parameter> parameters_;
  std::map<std::string, std::size_t> parameter_index_;
  std::map<std::string, at::Tensor> statistics_;
  std::map<std::string, at::Tensor> constants_;
  std::map<std::pair<bool, std::vector<Shape>>, std::unique_ptr<Program>> programs_;
};

/// Folds every node whose inputs are all constants, so that a weight that passes through, say, a
/// Transpose is a weight of its own.
void fold_constants(graph::Graph& graph);

}  // namespace wins::training
