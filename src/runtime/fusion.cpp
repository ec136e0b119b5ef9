#include "wins/runtime/fusion.hpp"

#include <algorithm>
#include <array>

namespace wins::runtime {
namespace {

using graph::Node;
using graph::ValueId;

/// Producers and numbers of readers; outputs of the graph count as read.
struct Wiring {
  std::map<ValueId, const Node*> producer;
  std::map<ValueId, int> readers;

  explicit Wiring(const graph::Graph& graph) {
    for (const Node& node : graph.nodes) {
      for (const ValueId id : node.outputs) producer[id] = &node;
      for (const ValueId id : node.inputs) ++readers[id];
    }
    for (const ValueId id : graph.outputs) ++readers[id];
  }

  /// The node that makes `id`, when nothing else reads it.
  const Node* sole(ValueId id) const {
    const auto found = producer.find(id);
    return found != producer.end() && readers.at(id) == 1 ? found->second : nullptr;
  }
};

using Pair = std::array<std::int64_t, 2>;

bool is_pointwise(const graph::Conv* conv) {
  return conv != nullptr && conv->group == 1 && conv->window.kernel == Pair{1, 1} && conv->window.pads == std::array<std::int64_t, 4>{};
}

/// The activation of a convolution of stride 1 whose 3x3 kernel lies around its pixel, and that adds nothing; null of others.
const graph::Activation* activation_of_3x3(const Node& node) {
  if (node.input(3) != graph::kNone) return nullptr;
  const auto is_around = [](const std::array<std::int64_t, 4>& pads) { return pads[0] == 1 && pads[1] == 1; };
  if (const auto* conv = node.as<graph::WinogradConv>()) return conv->stride == 1 && conv->r == 3 && is_around(conv->pads) ? &conv->activation : nullptr;
  const auto* conv = node.as<graph::Conv>();
  if (conv == nullptr || conv->group != 1 || conv->window.kernel != Pair{3, 3} || conv->window.stride != Pair{1, 1}) return nullptr;
  return conv->window.dilation == Pair{1, 1} && is_around(conv->window.pads) ? &conv->activation : nullptr;
}

/// Whether a 1x1 convolution could be more filters of `node`.
bool is_companion(const Node& pointwise, const Node& node) {
  const auto* conv = pointwise.as<graph::Conv>();
  const graph::Activation* activation = activation_of_3x3(node);
  if (!is_pointwise(conv) || activation == nullptr || conv->window.stride != Pair{1, 1}) return false;
  return pointwise.input(3) == graph::kNone && pointwise.inputs[0] == node.inputs[0] && conv->activation == *activation;
}

class Slicer {
 public:
  Slicer(const graph::Graph& graph, int block) : graph_(graph), block_(block) {}

  std::map<ValueId, Placement> run() {
    // The largest results come last, and decide where everything inside them lies.
    for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
      if (takes(*node)) place(*node);
    }
    return std::move(placements_);
  }

 private:
  bool takes(const Node& node) const {
    const auto* concat = node.as<graph::Concat>();
    if (concat == nullptr) return false;
    const graph::Value& output = graph_.value(node.outputs[0]);
    const Shape& shape = output.shape.value();
    if (shape.size() != 4 || (concat->axis != 1 && concat->axis != -3)) return false;
    if (output.dtype != DType::f32) return false;
    std::int64_t channel = 0;
    for (const ValueId id : node.inputs) {
      if (channel % block_ != 0) return false;
      channel += graph_.value(id).shape.value()[1];
    }
    return true;
  }

  /// All or nothing: the inputs go inside the result, or the result around inputs that lie side by
  /// side in a larger one already.
  void place(const Node& node) {
    const ValueId output = node.outputs[0];
    const auto outside = placements_.find(output);
    const auto first = placements_.find(node.inputs[0]);
    Placement base{output, 0};
    if (outside != placements_.end()) {
      base = outside->second;
    } else if (first != placements_.end()) {
      base = first->second;
    }
    const bool around = outside == placements_.end() && first != placements_.end();
    std::map<ValueId, Placement> wanted;
    std::int64_t channel = base.channel;
    for (const ValueId id : node.inputs) {
      const auto placed = placements_.find(id);
      if (placed != placements_.end()) {
        if (placed->second.root != base.root || placed->second.channel != channel) return;
      } else if (around || is_root(id)) {
        return;
      }
      if (!wanted.emplace(id, Placement{base.root, channel}).second) return;  // twice in one result
      channel += graph_.value(id).shape.value()[1];
    }
    if (around) {
      placements_.emplace(output, base);
    } else {
      placements_.merge(wanted);
    }
  }

  /// Others lie inside it, so it cannot move into something itself.
  bool is_root(ValueId id) const {
    return std::any_of(placements_.begin(), placements_.end(), [&](const auto& entry) { return entry.second.root == id; });
  }

  const graph::Graph& graph_;
  std::int64_t block_;
  std::map<ValueId, Placement> placements_;
};

}  // namespace

std::map<const Node*, Prologue> find_prologues(const graph::Graph& graph) {
  const Wiring wiring(graph);
  std::map<const Node*, Prologue> prologues;
  for (const Node& node : graph.nodes) {
    if (node.as<graph::Conv>() == nullptr) continue;
    Prologue prologue;
    const Node* before = wiring.sole(node.inputs[0]);
    if (before == nullptr) continue;
    if (const auto* unary = before->as<graph::Unary>(); unary && unary->function.kind == graph::UnaryKind::relu) {
      prologue.relu = before;
      before = wiring.sole(before->inputs[0]);
    }
    if (before == nullptr || before->as<graph::BatchNorm>() == nullptr) continue;
    prologue.norm = before;
    prologues[&node] = prologue;
  }
  return prologues;
}

Node behind_prologue(const Node& node, const Prologue& prologue) {
  Node result = node;
  if (prologue.norm != nullptr) result.inputs[0] = prologue.norm->inputs[0];
  return result;
}

std::set<const Node*> nodes_of(const std::map<const Node*, Prologue>& prologues) {
  std::set<const Node*> nodes;
  for (const auto& [node, prologue] : prologues) {
    nodes.insert(prologue.norm);
    if (prologue.relu != nullptr) nodes.insert(prologue.relu);
  }
  return nodes;
}

std::map<const Node*, const Node*> find_max_pools(const graph::Graph& graph) {
  const Wiring wiring(graph);
  std::map<const Node*, const Node*> pools;
  for (const Node& node : graph.nodes) {
    const auto* pool = node.as<graph::Pool>();
    if (pool == nullptr || pool->kind != graph::Pool::Kind::max || node.outputs.size() > 1) continue;
    const Node* before = wiring.sole(node.inputs[0]);
    if (before != nullptr && (before->as<graph::Conv>() != nullptr || before->as<graph::WinogradConv>() != nullptr)) pools[before] = &node;
  }
  return pools;
}

std::map<const Node*, const Node*> find_summands(const graph::Graph& graph) {
  const Wiring wiring(graph);
  std::map<const Node*, const Node*> summands;
  for (const Node& node : graph.nodes) {
    if (!is_pointwise(node.as<graph::Conv>()) || node.input(3) == graph::kNone) continue;
    const Node* summand = wiring.sole(node.inputs[3]);
    const auto* conv = summand != nullptr ? summand->as<graph::Conv>() : nullptr;
    if (!is_pointwise(conv) || conv->window.stride != Pair{1, 1} || summand->input(3) != graph::kNone) continue;
    if (conv->activation.kind == graph::UnaryKind::identity) summands[&node] = summand;
  }
  return summands;
}

Node with_summand(const Node& node, const Node& summand) {
  Node result = node;
  result.inputs[3] = summand.inputs[0];
  return result;
}

std::map<const Node*, Companion> find_companions(const graph::Graph& graph) {
  const Wiring wiring(graph);
  std::map<const Node*, Companion> companions;
  for (const Node& node : graph.nodes) {
    const auto* concat = node.as<graph::Concat>();
    if (concat == nullptr || (concat->axis != 1 && concat->axis != -3) || node.inputs.size() != 2) continue;
    const Node *first = wiring.sole(node.inputs[0]), *second = wiring.sole(node.inputs[1]);
    if (first == nullptr || second == nullptr) continue;
    if (is_companion(*first, *second)) companions[second] = {first, &node, true};
    if (is_companion(*second, *first)) companions[first] = {second, &node, false};
  }
  return companions;
}

Node with_companion(const Node& node, const Companion& companion) {
  Node result = node;
  result.outputs = companion.concat->outputs;
  return result;
}

std::map<ValueId, Placement> find_placements(const graph::Graph& graph, int block) {
  return Slicer(graph, block).run();
}

bool is_placed_concat(const graph::Node& node, const std::map<ValueId, Placement>& placements) {
  if (node.as<graph::Concat>() == nullptr) return false;
  const auto root_of = [&](ValueId id) {
    const auto placed = placements.find(id);
    return placed != placements.end() ? placed->second.root : id;
  };
  const ValueId root = root_of(node.outputs[0]);
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return placements.contains(id) && root_of(id) == root; });
}

}  // namespace wins::runtime
