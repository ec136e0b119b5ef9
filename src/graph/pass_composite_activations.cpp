#include <cmath>
#include <numbers>

#include "rewriter.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

constexpr double kClose = 1e-4;

bool is_constant(const Graph& graph, ValueId id, double wanted) {
  const auto value = scalar_constant(graph, id);
  return value && std::abs(*value - wanted) < kClose;
}

/// A constant that broadcasting leaves the other operand's shape to: rank 0 or all extents 1 and
/// no more axes than that operand.
bool keeps_shape(const Graph& graph, ValueId constant, ValueId operand) {
  const auto& shape = graph.value(operand).shape;
  const std::size_t rank = graph.value(constant).constant->rank();
  return rank == 0 || (shape && rank <= shape->size());
}

/// Slot of the only reader of `id` when it is a Binary of this kind without activation.
std::size_t binary_reader(Rewriter& rewriter, ValueId id, BinaryKind kind) {
  const std::size_t slot = rewriter.only_reader(id);
  if (slot == Rewriter::kNoSlot) return slot;
  const auto* op = rewriter.node(slot).as<Binary>();
  const bool fits = op != nullptr && op->kind == kind && op->activation.kind == UnaryKind::identity;
  return fits ? slot : Rewriter::kNoSlot;
}

/// Operand of x * factor (or x / (1 / factor)); kNone when `id` is not made that way.
ValueId scaled_operand(Rewriter& rewriter, ValueId id, double factor) {
  const std::size_t slot = rewriter.producer(id);
  if (slot == Rewriter::kNoSlot) return kNone;
  const Node& node = rewriter.node(slot);
  const auto* op = node.as<Binary>();
  if (op == nullptr || op->activation.kind != UnaryKind::identity) return kNone;
  const Graph& graph = rewriter.graph();
  if (op->kind == BinaryKind::div && is_constant(graph, node.inputs[1], 1 / factor) &&
      keeps_shape(graph, node.inputs[1], node.inputs[0])) {
    return node.inputs[0];
  }
  if (op->kind != BinaryKind::mul) return kNone;
  for (std::size_t i = 0; i < 2; ++i) {
    if (is_constant(graph, node.inputs[i], factor) &&
        keeps_shape(graph, node.inputs[i], node.inputs[1 - i])) {
      return node.inputs[1 - i];
    }
  }
  return kNone;
}

/// Removes the producer of `id` when nothing reads it any more.
void drop_unread(Rewriter& rewriter, ValueId id) {
  const std::size_t slot = rewriter.producer(id);
  if (slot == Rewriter::kNoSlot || rewriter.is_output(id) || !rewriter.readers(id).empty()) return;
  const std::vector<ValueId> inputs = rewriter.node(slot).inputs;
  rewriter.remove(slot);
  for (const ValueId input : inputs) {
    if (input != kNone) drop_unread(rewriter, input);
  }
}

/// Replaces the node in `slot` by function(x), then drops what only it needed.
void replace_by(Rewriter& rewriter, std::size_t slot, Activation function, ValueId x) {
  const Node old = rewriter.node(slot);
  rewriter.put(slot, {old.name, Unary{function}, {x}, old.outputs});
  for (const ValueId id : old.inputs) drop_unread(rewriter, id);
}

/// x * gate(x), where gate is a Unary with this one reader.
bool fuse_gate(Rewriter& rewriter, std::size_t slot) {
  const Node& node = rewriter.node(slot);
  const auto* gate = node.as<Unary>();
  if (gate == nullptr) return false;
  const ValueId x = node.inputs[0];
  const std::size_t product = binary_reader(rewriter, node.outputs[0], BinaryKind::mul);
  if (product == Rewriter::kNoSlot || other_input(rewriter.node(product), node.outputs[0]) != x) return false;
  const Activation& f = gate->function;
  if (f.kind == UnaryKind::sigmoid) {
    replace_by(rewriter, product, {UnaryKind::silu, 0, 0}, x);
    return true;
  }
  // ONNX's HardSwish is x * hard_sigmoid(x) with alpha = 1/6 and beta = 1/2.
  if (f.kind == UnaryKind::hard_sigmoid && std::abs(f.alpha - 1.0F / 6) < 1e-6F && f.beta == 0.5F) {
    replace_by(rewriter, product, {UnaryKind::hard_swish, 0, 0}, x);
    return true;
  }
  return false;
}

/// 0.5 x (1 + erf(x / sqrt(2))), the factor 0.5 standing on x or on the product.
bool fuse_gelu(Rewriter& rewriter, std::size_t slot) {
  const Node& node = rewriter.node(slot);
  const auto* erf = node.as<Unary>();
  if (erf == nullptr || erf->function.kind != UnaryKind::erf) return false;
  const Graph& graph = rewriter.graph();
  const ValueId x = scaled_operand(rewriter, node.inputs[0], 1 / std::numbers::sqrt2);
  if (x == kNone) return false;
  const std::size_t sum = binary_reader(rewriter, node.outputs[0], BinaryKind::add);
  if (sum == Rewriter::kNoSlot) return false;
  const ValueId one = other_input(rewriter.node(sum), node.outputs[0]);
  if (!is_constant(graph, one, 1) || !keeps_shape(graph, one, x)) return false;
  const ValueId bracket = rewriter.node(sum).outputs[0];
  const std::size_t product = binary_reader(rewriter, bracket, BinaryKind::mul);
  if (product == Rewriter::kNoSlot) return false;
  const ValueId factor = other_input(rewriter.node(product), bracket);
  if (factor != x) {
    if (scaled_operand(rewriter, factor, 0.5) != x) return false;
    replace_by(rewriter, product, {UnaryKind::gelu, 0, 0}, x);
    return true;
  }
  const ValueId whole = rewriter.node(product).outputs[0];
  const std::size_t half = rewriter.only_reader(whole);
  if (half == Rewriter::kNoSlot || scaled_operand(rewriter, rewriter.node(half).outputs[0], 0.5) != whole)
    return false;
  replace_by(rewriter, half, {UnaryKind::gelu, 0, 0}, x);
  return true;
}

}  // namespace

int fuse_composite_activations(Graph& graph) {
  Rewriter rewriter(graph);
  int count = 0;
  for (std::size_t slot = 0; slot < graph.nodes.size(); ++slot) {
    if (!rewriter.alive(slot)) continue;
    if (fuse_gate(rewriter, slot) || fuse_gelu(rewriter, slot)) ++count;
  }
  rewriter.finish();
  return count;
}

}  // namespace wins::graph
