#include "rewriter.hpp"

#include <algorithm>

namespace wins::graph {

Rewriter::Rewriter(Graph& graph) : graph_(graph), alive_(graph.nodes.size(), true) {
  grow();
  for (const ValueId id : graph.outputs) outputs_[static_cast<std::size_t>(id)] = true;
  for (std::size_t slot = 0; slot < graph.nodes.size(); ++slot) attach(slot);
}

void Rewriter::grow() {
  producers_.resize(graph_.values.size(), kNoSlot);
  readers_.resize(graph_.values.size());
  outputs_.resize(graph_.values.size(), false);
}

void Rewriter::attach(std::size_t slot) {
  grow();
  for (const ValueId id : node(slot).inputs) {
    if (id != kNone) readers_[static_cast<std::size_t>(id)].push_back(slot);
  }
  for (const ValueId id : node(slot).outputs) producers_[static_cast<std::size_t>(id)] = slot;
}

void Rewriter::detach(std::size_t slot) {
  for (const ValueId id : node(slot).inputs) {
    if (id == kNone) continue;
    auto& slots = readers_[static_cast<std::size_t>(id)];
    const auto found = std::find(slots.begin(), slots.end(), slot);
    if (found != slots.end()) slots.erase(found);
  }
  for (const ValueId id : node(slot).outputs) {
    std::size_t& producer = producers_[static_cast<std::size_t>(id)];
    if (producer == slot) producer = kNoSlot;
  }
}

std::size_t Rewriter::producer(ValueId id) const {
  return id == kNone ? kNoSlot : producers_[static_cast<std::size_t>(id)];
}

bool Rewriter::is_output(ValueId id) const {
  return outputs_[static_cast<std::size_t>(id)];
}

std::size_t Rewriter::only_reader(ValueId id) const {
  return !is_output(id) && readers(id).size() == 1 ? readers(id).front() : kNoSlot;
}

void Rewriter::remove(std::size_t slot) {
  detach(slot);
  alive_[slot] = false;
}

void Rewriter::put(std::size_t slot, Node node) {
  if (alive_[slot]) detach(slot);
  graph_.nodes[slot] = std::move(node);
  alive_[slot] = true;
  attach(slot);
}

void Rewriter::replace_reads(ValueId from, ValueId to) {
  auto& moved = readers_[static_cast<std::size_t>(from)];
  for (const std::size_t slot : moved) {
    std::replace(graph_.nodes[slot].inputs.begin(), graph_.nodes[slot].inputs.end(), from, to);
    readers_[static_cast<std::size_t>(to)].push_back(slot);
  }
  moved.clear();
}

bool Rewriter::alias(ValueId from, ValueId to) {
  if (!is_output(from)) {
    replace_reads(from, to);
    return true;
  }
  const std::size_t slot = producer(to);
  if (slot == kNoSlot || is_output(to)) return false;
  std::replace(graph_.nodes[slot].outputs.begin(), graph_.nodes[slot].outputs.end(), to, from);
  producers_[static_cast<std::size_t>(to)] = kNoSlot;
  producers_[static_cast<std::size_t>(from)] = slot;
  replace_reads(to, from);
  return true;
}

void Rewriter::finish() {
  std::vector<Node> kept;
  for (std::size_t slot = 0; slot < graph_.nodes.size(); ++slot) {
    if (alive_[slot]) kept.push_back(std::move(graph_.nodes[slot]));
  }
  graph_.nodes = std::move(kept);
}

std::optional<double> scalar_constant(const Graph& graph, ValueId id) {
  if (id == kNone || !graph.value(id).constant || graph.value(id).constant->size() != 1) return {};
  return graph.value(id).constant->cast(DType::f64).data<double>()[0];
}

ValueId other_input(const Node& node, ValueId id) {
  if (node.inputs.size() != 2) return kNone;
  if (node.inputs[0] == id) return node.inputs[1];
  return node.inputs[1] == id ? node.inputs[0] : kNone;
}

}  // namespace wins::graph
