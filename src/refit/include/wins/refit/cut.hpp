// A network that is run a few nodes at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// Nodes [begin, end) as a network of their own: its inputs are values made before, its outputs what is read
/// later, and the outputs of the last node. `graph` is specialised.
graph::Graph segment(const graph::Graph& graph, std::size_t begin, std::size_t end);

/// Names of the values that nodes from `position` on read, and of the outputs of the node before.
std::set<std::string> values_behind(const graph::Graph& graph, std::size_t position);

/// Most bytes of activations that two networks of these nodes hold together for one run, when the second
/// stands at a node that `stops` names and the first just behind it.
std::size_t walk_bytes(const graph::Graph& graph, const std::function<bool(const graph::Node&)>& stops);

}  // namespace wins::refit
