#include "order.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace wins::refit {
namespace {

/// Which node makes each value, and how many nodes lie on the longest way to it.
struct Producers {
  explicit Producers(const graph::Graph& graph) : depth(graph.nodes.size(), 0) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const std::size_t before : inputs_of(graph, i)) depth[i] = std::max(depth[i], depth[before] + 1);
      for (const graph::ValueId id : graph.nodes[i].outputs) node_of[id] = i;
    }
  }
  std::vector<std::size_t> inputs_of(const graph::Graph& graph, std::size_t node) const {
    std::vector<std::size_t> result;
    for (const graph::ValueId id : graph.nodes[node].inputs) {
      const auto found = node_of.find(id);
      if (found != node_of.end()) result.push_back(found->second);
    }
    return result;
  }
  std::map<graph::ValueId, std::size_t> node_of;
  std::vector<std::size_t> depth;
};

}  // namespace

graph::Graph shallow_branches_first(const graph::Graph& graph) {
  const Producers producers(graph);
  std::vector<std::size_t> order;
  std::vector<char> seen(graph.nodes.size(), 0), placed(graph.nodes.size(), 0);
  // Depth first from the outputs with a stack of our own: a network may have thousands of nodes in a row.
  std::vector<std::size_t> stack;
  for (auto output = graph.outputs.rbegin(); output != graph.outputs.rend(); ++output) {
    const auto found = producers.node_of.find(*output);
    if (found != producers.node_of.end()) stack.push_back(found->second);
  }
  while (!stack.empty()) {
    const std::size_t node = stack.back();
    if (seen[node] != 0) {
      stack.pop_back();
      if (placed[node] == 0) order.push_back(node);
      placed[node] = 1;
      continue;
    }
    seen[node] = 1;
    std::vector<std::size_t> inputs = producers.inputs_of(graph, node);
    // The last one pushed is visited first.
    std::stable_sort(inputs.begin(), inputs.end(),
                     [&](std::size_t a, std::size_t b) { return producers.depth[a] > producers.depth[b]; });
    for (const std::size_t input : inputs) {
      if (seen[input] == 0) stack.push_back(input);
    }
  }
  graph::Graph result = graph;
  result.nodes.clear();
  for (const std::size_t node : order) result.nodes.push_back(graph.nodes[node]);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (placed[i] == 0) result.nodes.push_back(graph.nodes[i]);
  }
  return result;
}

}  // namespace wins::refit
