#include "wins/refit/cut.hpp"

#include <algorithm>

namespace wins::refit {
namespace {

/// Values that nodes [begin, ...) or the caller of the network read.
std::set<graph::ValueId> read_from(const graph::Graph& graph, std::size_t begin) {
  std::set<graph::ValueId> ids(graph.outputs.begin(), graph.outputs.end());
  for (std::size_t i = begin; i < graph.nodes.size(); ++i) {
    for (const graph::ValueId id : graph.nodes[i].inputs) {
      if (id != graph::kNone && !graph.value(id).constant) ids.insert(id);
    }
  }
  return ids;
}

}  // namespace

graph::Graph segment(const graph::Graph& graph, std::size_t begin, std::size_t end) {
  graph::Graph part = graph;
  part.nodes.assign(graph.nodes.begin() + static_cast<std::ptrdiff_t>(begin),
                    graph.nodes.begin() + static_cast<std::ptrdiff_t>(end));
  std::set<graph::ValueId> made;
  std::set<graph::ValueId> inputs;
  for (const graph::Node& node : part.nodes) {
    for (const graph::ValueId id : node.inputs) {
      if (id != graph::kNone && !graph.value(id).constant && !made.contains(id)) inputs.insert(id);
    }
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  const std::set<graph::ValueId> later = read_from(graph, end);
  const std::vector<graph::ValueId>& last = part.nodes.back().outputs;
  part.outputs.clear();
  for (const graph::ValueId id : made) {
    const bool asked = std::find(last.begin(), last.end(), id) != last.end();
    if (later.contains(id) || asked) part.outputs.push_back(id);
  }
  part.inputs.assign(inputs.begin(), inputs.end());
  graph::remove_unused(part);
  return part;
}

std::set<std::string> values_behind(const graph::Graph& graph, std::size_t position) {
  std::set<std::string> wanted;
  for (const graph::ValueId id : read_from(graph, position)) wanted.insert(graph.value(id).name);
  if (position > 0) {
    for (const graph::ValueId id : graph.nodes[position - 1].outputs) wanted.insert(graph.value(id).name);
  }
  return wanted;
}

std::size_t walk_bytes(const graph::Graph& graph, const std::function<bool(const graph::Node&)>& stops) {
  const auto live = [&](std::size_t position) {
    std::set<graph::ValueId> ids = read_from(graph, position);
    if (position > 0) ids.insert(graph.nodes[position - 1].outputs.begin(), graph.nodes[position - 1].outputs.end());
    std::set<graph::ValueId> made(graph.inputs.begin(), graph.inputs.end());
    for (std::size_t i = 0; i < position; ++i) made.insert(graph.nodes[i].outputs.begin(), graph.nodes[i].outputs.end());
    std::size_t bytes = 0;
    for (const graph::ValueId id : ids) {
      const auto& shape = graph.value(id).shape;
      if (made.contains(id) && shape) bytes += static_cast<std::size_t>(element_count(*shape)) * sizeof(float);
    }
    return bytes;
  };
  std::size_t peak = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (stops(graph.nodes[i])) peak = std::max(peak, live(i) + live(i + 1));
  }
  return peak;
}

}  // namespace wins::refit
