#include "wins/graph/ops.hpp"

namespace wins::graph {
namespace {

const char* name_of(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::identity:
      return "Identity";
    case UnaryKind::relu:
      return "Relu";
    case UnaryKind::clip:
      return "Clip";
    case UnaryKind::leaky_relu:
      return "LeakyRelu";
    case UnaryKind::sigmoid:
      return "Sigmoid";
    case UnaryKind::tanh:
      return "Tanh";
    case UnaryKind::hard_swish:
      return "HardSwish";
    case UnaryKind::hard_sigmoid:
      return "HardSigmoid";
    case UnaryKind::elu:
      return "Elu";
    case UnaryKind::silu:
      return "Silu";
    case UnaryKind::gelu:
    case UnaryKind::gelu_tanh:
      return "Gelu";
    case UnaryKind::softplus:
      return "Softplus";
    case UnaryKind::mish:
      return "Mish";
    case UnaryKind::erf:
      return "Erf";
    case UnaryKind::exp:
      return "Exp";
    case UnaryKind::log:
      return "Log";
    case UnaryKind::sqrt:
      return "Sqrt";
    case UnaryKind::reciprocal:
      return "Reciprocal";
    case UnaryKind::neg:
      return "Neg";
    case UnaryKind::abs:
      return "Abs";
    case UnaryKind::floor:
      return "Floor";
    case UnaryKind::ceil:
      return "Ceil";
  }
  return "Unknown";
}

const char* name_of(BinaryKind kind) {
  switch (kind) {
    case BinaryKind::add:
      return "Add";
    case BinaryKind::sub:
      return "Sub";
    case BinaryKind::mul:
      return "Mul";
    case BinaryKind::div:
      return "Div";
    case BinaryKind::pow:
      return "Pow";
    case BinaryKind::min:
      return "Min";
    case BinaryKind::max:
      return "Max";
  }
  return "Unknown";
}

const char* name_of(Reduce::Kind kind) {
  switch (kind) {
    case Reduce::Kind::mean:
      return "ReduceMean";
    case Reduce::Kind::sum:
      return "ReduceSum";
    case Reduce::Kind::max:
      return "ReduceMax";
    case Reduce::Kind::min:
      return "ReduceMin";
    case Reduce::Kind::l2:
      return "ReduceL2";
  }
  return "Unknown";
}

struct Namer {
  const char* operator()(const Conv&) const { return "Conv"; }
  const char* operator()(const WinogradConv&) const { return "WinogradConv"; }
  const char* operator()(const ConvTranspose&) const { return "ConvTranspose"; }
  const char* operator()(const BatchNorm&) const { return "BatchNormalization"; }
  const char* operator()(const Unary& op) const { return name_of(op.function.kind); }
  const char* operator()(const PRelu&) const { return "PRelu"; }
  const char* operator()(const Binary& op) const { return name_of(op.kind); }
  const char* operator()(const Pool& op) const {
    return op.kind == Pool::Kind::max ? "MaxPool" : "AveragePool";
  }
  const char* operator()(const GlobalPool& op) const {
    return op.kind == Pool::Kind::max ? "GlobalMaxPool" : "GlobalAveragePool";
  }
  const char* operator()(const Reduce& op) const { return name_of(op.kind); }
  const char* operator()(const Gemm&) const { return "Gemm"; }
  const char* operator()(const MatMul&) const { return "MatMul"; }
  const char* operator()(const Flatten&) const { return "Flatten"; }
  const char* operator()(const Reshape&) const { return "Reshape"; }
  const char* operator()(const Squeeze&) const { return "Squeeze"; }
  const char* operator()(const Unsqueeze&) const { return "Unsqueeze"; }
  const char* operator()(const Transpose&) const { return "Transpose"; }
  const char* operator()(const Concat&) const { return "Concat"; }
  const char* operator()(const Split&) const { return "Split"; }
  const char* operator()(const Slice&) const { return "Slice"; }
  const char* operator()(const Pad&) const { return "Pad"; }
  const char* operator()(const Resize&) const { return "Resize"; }
  const char* operator()(const DepthToSpace&) const { return "DepthToSpace"; }
  const char* operator()(const SpaceToDepth&) const { return "SpaceToDepth"; }
  const char* operator()(const Lrn&) const { return "LRN"; }
  const char* operator()(const Softmax& op) const { return op.log ? "LogSoftmax" : "Softmax"; }
  const char* operator()(const LayerNorm&) const { return "LayerNormalization"; }
  const char* operator()(const Shape&) const { return "Shape"; }
  const char* operator()(const Gather&) const { return "Gather"; }
  const char* operator()(const Cast&) const { return "Cast"; }
  const char* operator()(const ConstantOfShape&) const { return "ConstantOfShape"; }
  const char* operator()(const Expand&) const { return "Expand"; }
  const char* operator()(const Range&) const { return "Range"; }
};

}  // namespace

std::string op_name(const Op& op) {
  return std::visit(Namer{}, op);
}

}  // namespace wins::graph
