// The order in which a refit walks over a network.
#pragma once

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// The same nodes in another topological order: of the branches that meet in a node, the one with the
/// fewest layers first. A residual block's last convolution then finds its shortcut computed, whatever
/// order the file has. Nodes that no output needs come last, in their old order.
graph::Graph shallow_branches_first(const graph::Graph& graph);

}  // namespace wins::refit
