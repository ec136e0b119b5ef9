// Chooses the loop for each operator, and walks whole graphs.
#include "wins/runtime/ref/ref.hpp"

#include <optional>
#include <utility>
#include <variant>

#include "kernels.hpp"
#include "walk.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/evaluate.hpp"

namespace wins::runtime::ref {
namespace {

bool is_float(DType type) { return type == DType::f32 || type == DType::f64; }

template <class... Kernels>
struct Overloads : Kernels... {
  using Kernels::operator()...;
};
// Clang before 17 does not deduce the arguments of an aggregate by itself.
template <class... Kernels>
Overloads(Kernels...) -> Overloads<Kernels...>;

/// Operators with loops of their own; nothing for those of `graph::evaluate`.
template <class T>
std::optional<Tensor> compute(const graph::Op& op, const Inputs& in) {
  using Result = std::optional<Tensor>;
  return std::visit(
      Overloads{
          [&](const graph::Conv& o) -> Result { return conv<T>(o, in); },
          [&](const graph::WinogradConv& o) -> Result { return winograd_conv<T>(o, in); },
          [&](const graph::ConvTranspose& o) -> Result { return conv_transpose<T>(o, in); },
          [&](const graph::BatchNorm& o) -> Result { return batch_norm<T>(o, in); },
          [&](const graph::Unary& o) -> Result { return unary<T>(o, in); },
          [&](const graph::PRelu&) -> Result { return prelu<T>(in); },
          [&](const graph::Binary& o) -> Result { return binary<T>(o, in); },
          [&](const graph::Pool& o) -> Result { return pool<T>(o, in); },
          [&](const graph::GlobalPool& o) -> Result { return global_pool<T>(o, in); },
          [&](const graph::Reduce& o) -> Result { return reduce<T>(o, in); },
          [&](const graph::Gemm& o) -> Result { return gemm<T>(o, in); },
          [&](const graph::MatMul&) -> Result { return matmul<T>(in); },
          [&](const graph::Resize& o) -> Result { return resize<T>(o, in); },
          [&](const graph::Lrn& o) -> Result { return lrn<T>(o, in); },
          [&](const graph::Softmax& o) -> Result { return softmax<T>(o, in); },
          [&](const graph::LayerNorm& o) -> Result { return layer_norm<T>(o, in); },
          [](const auto&) -> Result { return std::nullopt; },
      },
      op);
}

/// Float tensors in the precision asked for; the others as they are.
Tensor in_precision(const Tensor& tensor, DType float_type) {
  return is_float(tensor.dtype()) && tensor.dtype() != float_type ? tensor.cast(float_type) : tensor;
}

}  // namespace

std::vector<Tensor> run_node(const graph::Node& node, const std::vector<const Tensor*>& inputs, Precision precision) {
  const DType float_type = precision == Precision::float64 ? DType::f64 : DType::f32;
  std::vector<Tensor> converted(inputs.size());
  Inputs pointers(inputs.size(), nullptr);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    converted[i] = in_precision(*inputs[i], float_type);
    pointers[i] = &converted[i];
  }
  // The first input decides: integer tensors go where constant folding computes them.
  if (!pointers.empty() && pointers[0] != nullptr && is_float(pointers[0]->dtype())) {
    // Pow may have an integer exponent.
    if (node.as<graph::Binary>() != nullptr && pointers.size() > 1 && pointers[1] != nullptr) {
      converted[1] = converted[1].cast(float_type);
    }
    try {
      auto result = precision == Precision::float64 ? compute<double>(node.op, pointers)
                                                    : compute<float>(node.op, pointers);
      if (result) return {std::move(*result)};
    } catch (const Error& error) {
      fail("node '{}' ({}): {}", node.name, graph::op_name(node.op), error.what());
    }
  }
  require(graph::can_evaluate(node.op), "node '{}' ({}): the reference does not support these inputs", node.name,
          graph::op_name(node.op));
  std::vector<Tensor> outputs = graph::evaluate(node, pointers);
  for (Tensor& output : outputs) output = in_precision(output, float_type);
  return outputs;
}

std::vector<Tensor> run(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision) {
  Walk walk(graph, inputs, precision);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    walk.step(i);
    walk.release(i);
  }
  return walk.outputs();
}

std::vector<Tensor> run_all(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision) {
  Walk walk(graph, inputs, precision);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) walk.step(i);
  return walk.take_values();
}

}  // namespace wins::runtime::ref
