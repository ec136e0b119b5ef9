// From a node of a specialised graph to a function on libtorch tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::training {

/// How batch norm behaves; everything else is the same in all three.
enum class Mode {
  inference,   ///< stored statistics
  training,    ///< batch statistics; the stored ones follow with the node's momentum
  statistics,  ///< batch statistics, averaged into the stored ones with the weight of the call
};

/// One run of the network, as kernels see it.
struct Run {
  Mode mode = Mode::inference;
  double statistics_weight = 1;  ///< Mode::statistics: weight of this batch in the running average
};

/// Outputs of a node from its inputs (undefined where absent). Differentiable.
using Kernel = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs, const Run& run)>;

/// A node in its graph: what a kernel may know before it runs.
struct Site {
  const graph::Graph& graph;
  const graph::Node& node;
  at::Device device;

  bool has(std::size_t input) const { return node.input(input) != graph::kNone; }
  /// Concrete shapes.
  const Shape& shape(std::size_t input) const;
  const Shape& output_shape(std::size_t output = 0) const;
  DType dtype(std::size_t input) const;
  /// Constant behind an input. Throws `Error` when it depends on data.
  const Tensor& constant(std::size_t input) const;
  std::vector<std::int64_t> ints(std::size_t input) const;
  /// Throws `Error` saying why libtorch does not run the node.
  [[noreturn]] void refuse(const std::string& reason) const;
};

/// Throws `Error` (through Site::refuse) when the node has no differentiable form here.
Kernel compile(const Site& site);

/// Adds what fusion put behind a linear operator.
at::Tensor apply_activation(const graph::Activation& activation, const at::Tensor& x);

// One overload for each operator; compile_linear.cpp:
Kernel compile(const graph::Conv& op, const Site& site);
Kernel compile(const graph::WinogradConv& op, const Site& site);
Kernel compile(const graph::ConvTranspose& op, const Site& site);
Kernel compile(const graph::Gemm& op, const Site& site);
Kernel compile(const graph::MatMul& op, const Site& site);
// compile_elementwise.cpp:
Kernel compile(const graph::Unary& op, const Site& site);
Kernel compile(const graph::Binary& op, const Site& site);
Kernel compile(const graph::PRelu& op, const Site& site);
Kernel compile(const graph::Cast& op, const Site& site);
// compile_reduction.cpp:
Kernel compile(const graph::BatchNorm& op, const Site& site);
Kernel compile(const graph::Lrn& op, const Site& site);
Kernel compile(const graph::LayerNorm& op, const Site& site);
Kernel compile(const graph::Softmax& op, const Site& site);
Kernel compile(const graph::Reduce& op, const Site& site);
Kernel compile(const graph::Pool& op, const Site& site);
Kernel compile(const graph::GlobalPool& op, const Site& site);
// compile_movement.cpp:
Kernel compile(const graph::Flatten& op, const Site& site);
Kernel compile(const graph::Reshape& op, const Site& site);
Kernel compile(const graph::Squeeze& op, const Site& site);
Kernel compile(const graph::Unsqueeze& op, const Site& site);
Kernel compile(const graph::Expand& op, const Site& site);
Kernel compile(const graph::Transpose& op, const Site& site);
Kernel compile(const graph::Concat& op, const Site& site);
Kernel compile(const graph::Split& op, const Site& site);
Kernel compile(const graph::Slice& op, const Site& site);
Kernel compile(const graph::Pad& op, const Site& site);
Kernel compile(const graph::Gather& op, const Site& site);
Kernel compile(const graph::DepthToSpace& op, const Site& site);
Kernel compile(const graph::SpaceToDepth& op, const Site& site);
Kernel compile(const graph::Resize& op, const Site& site);

}  // namespace wins::training
