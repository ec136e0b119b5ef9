// Element-wise functions of one input.
#include <array>
#include <limits>

#include "operators.hpp"

namespace wins::onnx {
namespace {

using graph::Activation;
using graph::Unary;
using graph::UnaryKind;

void emit_unary(NodeReader& node, Activation function) {
  node.emit_first(Unary{function}, {node.required(0)});
}

template <UnaryKind kind>
void read_plain(NodeReader& node) {
  emit_unary(node, {kind});
}

void read_leaky_relu(NodeReader& node) {
  emit_unary(node, {UnaryKind::leaky_relu, node.number("alpha", 0.01F)});
}

void read_elu(NodeReader& node) { emit_unary(node, {UnaryKind::elu, node.number("alpha", 1.0F)}); }

void read_hard_sigmoid(NodeReader& node) {
  emit_unary(node, {UnaryKind::hard_sigmoid, node.number("alpha", 0.2F), node.number("beta", 0.5F)});
}

void read_gelu(NodeReader& node) {
  const std::string approximate = node.text("approximate", "none");
  require(approximate == "none" || approximate == "tanh", "approximate = '{}' is not supported", approximate);
  emit_unary(node, {approximate == "tanh" ? UnaryKind::gelu_tanh : UnaryKind::gelu});
}

/// Bound of a Clip as a float; `fallback` when absent, nothing when it is no float constant.
std::optional<float> clip_bound(const NodeReader& node, std::size_t i, float fallback) {
  if (node.input(i) == graph::kNone) return fallback;
  const auto value = node.constant(i);
  if (!value || value->dtype() != DType::f32 || value->size() != 1) return std::nullopt;
  return value->data<float>()[0];
}

void read_clip(NodeReader& node) {
  constexpr float kLowest = std::numeric_limits<float>::lowest();
  constexpr float kHighest = std::numeric_limits<float>::max();
  if (node.opset() < 11) {
    return emit_unary(node, {UnaryKind::clip, node.number("min", kLowest), node.number("max", kHighest)});
  }
  const auto low = clip_bound(node, 1, kLowest);
  const auto high = clip_bound(node, 2, kHighest);
  if (low && high) return emit_unary(node, {UnaryKind::clip, *low, *high});
  // Integer or computed bounds: the same as min(max(x, low), high).
  graph::ValueId x = node.required(0);
  if (node.input(2) == graph::kNone) {
    return node.emit_first(graph::Binary{graph::BinaryKind::max, {}}, {x, node.required(1)});
  }
  if (node.input(1) != graph::kNone) {
    x = node.emit_helper("max", graph::Binary{graph::BinaryKind::max, {}}, {x, node.input(1)});
  }
  node.emit_first(graph::Binary{graph::BinaryKind::min, {}}, {x, node.input(2)});
}

void read_prelu(NodeReader& node) { node.emit_first(graph::PRelu{}, {node.required(0), node.required(1)}); }

constexpr std::array kOperators{
    Operator{"Relu", "", read_plain<UnaryKind::relu>, ""},
    Operator{"Clip", "", read_clip, ""},
    Operator{"LeakyRelu", "", read_leaky_relu, ""},
    Operator{"PRelu", "", read_prelu, ""},
    Operator{"Sigmoid", "", read_plain<UnaryKind::sigmoid>, ""},
    Operator{"Tanh", "", read_plain<UnaryKind::tanh>, ""},
    Operator{"HardSwish", "", read_plain<UnaryKind::hard_swish>, ""},
    Operator{"HardSigmoid", "", read_hard_sigmoid, ""},
    Operator{"Elu", "", read_elu, ""},
    Operator{"Gelu", "", read_gelu, ""},
    Operator{"Softplus", "", read_plain<UnaryKind::softplus>, ""},
    Operator{"Mish", "", read_plain<UnaryKind::mish>, ""},
    Operator{"Erf", "", read_plain<UnaryKind::erf>, ""},
    Operator{"Exp", "", read_plain<UnaryKind::exp>, ""},
    Operator{"Log", "", read_plain<UnaryKind::log>, ""},
    Operator{"Sqrt", "", read_plain<UnaryKind::sqrt>, ""},
    Operator{"Reciprocal", "", read_plain<UnaryKind::reciprocal>, ""},
    Operator{"Neg", "", read_plain<UnaryKind::neg>, ""},
    Operator{"Abs", "", read_plain<UnaryKind::abs>, ""},
    Operator{"Floor", "", read_plain<UnaryKind::floor>, ""},
    Operator{"Ceil", "", read_plain<UnaryKind::ceil>, ""},
};

}  // namespace

std::span<const Operator> activation_operators() { return kOperators; }

}  // namespace wins::onnx
