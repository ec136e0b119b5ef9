// Arithmetic of two or more tensors, matrix products and reductions.
#include <array>

#include "operators.hpp"

namespace wins::onnx {
namespace {

using graph::Binary;
using graph::BinaryKind;
using graph::Reduce;
using graph::ValueId;

template <BinaryKind kind>
void read_binary(NodeReader& node) {
  node.emit_first(Binary{kind, {}}, {node.required(0), node.required(1)});
}

/// All inputs but the last combined, so that one Binary node finishes the operator.
ValueId combine_all_but_last(NodeReader& node, BinaryKind kind) {
  ValueId sum = node.required(0);
  for (std::size_t i = 1; i + 1 < node.input_count(); ++i) {
    sum = node.emit_helper("part", Binary{kind, {}}, {sum, node.required(i)});
  }
  return sum;
}

template <BinaryKind kind>
void read_variadic(NodeReader& node) {
  if (node.input_count() == 1) return node.pass_through(0);
  const ValueId first = combine_all_but_last(node, kind);
  node.emit_first(Binary{kind, {}}, {first, node.required(node.input_count() - 1)});
}

void read_mean(NodeReader& node) {
  ValueId sum = combine_all_but_last(node, BinaryKind::add);
  if (node.input_count() > 1) {
    sum = node.emit_helper("sum", Binary{BinaryKind::add, {}}, {sum, node.required(node.input_count() - 1)});
  }
  const ValueId count = node.add_constant("count", Tensor::scalar(static_cast<float>(node.input_count())));
  node.emit_first(Binary{BinaryKind::div, {}}, {sum, count});
}

void read_gemm(NodeReader& node) {
  graph::Gemm gemm;
  gemm.alpha = node.number("alpha", 1.0F);
  gemm.beta = node.number("beta", 1.0F);
  gemm.trans_a = node.integer("transA", 0) != 0;
  gemm.trans_b = node.integer("transB", 0) != 0;
  node.emit_first(gemm, {node.required(0), node.required(1), node.input(2)});
}

void read_matmul(NodeReader& node) { node.emit_first(graph::MatMul{}, {node.required(0), node.required(1)}); }

/// Axes were an attribute before opset `since_input`.
void read_reduce(NodeReader& node, Reduce::Kind kind, int since_input) {
  Reduce reduce;
  reduce.kind = kind;
  reduce.keep_dims = node.integer("keepdims", 1) != 0;
  reduce.noop_with_empty_axes = node.integer("noop_with_empty_axes", 0) != 0;
  ValueId axes = graph::kNone;
  if (node.opset() >= since_input) {
    axes = node.input(1);
  } else if (node.has("axes")) {
    axes = node.add_ints("axes", node.integers("axes"));
  }
  node.emit_first(reduce, {node.required(0), axes});
}

void read_reduce_sum(NodeReader& node) { read_reduce(node, Reduce::Kind::sum, 13); }
template <Reduce::Kind kind>
void read_reduce_18(NodeReader& node) {
  read_reduce(node, kind, 18);
}

constexpr std::array kOperators{
    Operator{"Add", "", read_binary<BinaryKind::add>, ""},
    Operator{"Sub", "", read_binary<BinaryKind::sub>, ""},
    Operator{"Mul", "", read_binary<BinaryKind::mul>, ""},
    Operator{"Div", "", read_binary<BinaryKind::div>, ""},
    Operator{"Pow", "", read_binary<BinaryKind::pow>, ""},
    Operator{"Min", "", read_variadic<BinaryKind::min>, ""},
    Operator{"Max", "", read_variadic<BinaryKind::max>, ""},
    Operator{"Sum", "", read_variadic<BinaryKind::add>, "becomes Add"},
    Operator{"Mean", "", read_mean, "becomes Add and Div"},
    Operator{"Gemm", "", read_gemm, ""},
    Operator{"MatMul", "", read_matmul, ""},
    Operator{"ReduceMean", "", read_reduce_18<Reduce::Kind::mean>, ""},
    Operator{"ReduceSum", "", read_reduce_sum, ""},
    Operator{"ReduceMax", "", read_reduce_18<Reduce::Kind::max>, ""},
    Operator{"ReduceMin", "", read_reduce_18<Reduce::Kind::min>, ""},
    Operator{"ReduceL2", "", read_reduce_18<Reduce::Kind::l2>, ""},
};

}  // namespace

std::span<const Operator> arithmetic_operators() { return kOperators; }

}  // namespace wins::onnx
