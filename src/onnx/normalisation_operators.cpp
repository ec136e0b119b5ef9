// Normalisations, softmax and what inference leaves out.
#include <array>

#include "operators.hpp"

namespace wins::onnx {
namespace {

void read_batch_norm(NodeReader& node) {
  node.only("training_mode", 0);
  for (std::size_t i = 1; i < node.output_count(); ++i) node.refuse_output(i, "a statistic of training");
  graph::BatchNorm norm;
  norm.epsilon = node.number("epsilon", 1e-5F);
  norm.momentum = node.number("momentum", 0.9F);
  node.emit_first(norm, {node.required(0), node.required(1), node.required(2), node.required(3), node.required(4)});
}

void read_layer_norm(NodeReader& node) {
  node.refuse_output(1, "mean");
  node.refuse_output(2, "inverse deviation");
  graph::LayerNorm norm;
  norm.axis = node.integer("axis", -1);
  norm.epsilon = node.number("epsilon", 1e-5F);
  node.emit_first(norm, {node.required(0), node.required(1), node.input(2)});
}

void read_lrn(NodeReader& node) {
  graph::Lrn lrn;
  lrn.size = node.integer("size", 0);
  require(lrn.size >= 1, "size {} is out of range", lrn.size);
  lrn.alpha = node.number("alpha", 1e-4F);
  lrn.beta = node.number("beta", 0.75F);
  lrn.bias = node.number("bias", 1.0F);
  node.emit_first(lrn, {node.required(0)});
}

/// Before opset 13 the input is seen as a matrix, split at `axis`, and each of its rows sums to 1.
void read_flattening_softmax(NodeReader& node, bool log) {
  const std::int64_t axis = node.integer("axis", 1);
  const auto rank = node.rank(0);
  const graph::ValueId x = node.required(0);
  if (axis == -1 || (rank && axis == *rank - 1)) {
    return node.emit_first(graph::Softmax{-1, log}, {x});
  }
  const auto shape = node.emit_helper("shape", graph::Shape{}, {x});
  const auto matrix = node.emit_helper("flatten", graph::Flatten{axis}, {x});
  const auto soft = node.emit_helper("softmax", graph::Softmax{-1, log}, {matrix});
  node.emit_first(graph::Reshape{}, {soft, shape});
}

template <bool log>
void read_softmax(NodeReader& node) {
  if (node.opset() < 13) return read_flattening_softmax(node, log);
  node.emit_first(graph::Softmax{node.integer("axis", -1), log}, {node.required(0)});
}

void read_dropout(NodeReader& node) {
  node.refuse_output(1, "mask");
  node.pass_through(0);
}

constexpr std::array kOperators{
    Operator{"BatchNormalization", "", read_batch_norm, "inference form"},
    Operator{"LayerNormalization", "", read_layer_norm, "first output"},
    Operator{"LRN", "", read_lrn, ""},
    Operator{"Softmax", "", read_softmax<false>, ""},
    Operator{"LogSoftmax", "", read_softmax<true>, ""},
    Operator{"Dropout", "", read_dropout, "inference: dropped; without mask"},
};

}  // namespace

std::span<const Operator> normalisation_operators() { return kOperators; }

}  // namespace wins::onnx
