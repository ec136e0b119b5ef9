// Small edits and look-ups on weights that several rooms need.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// The node of that name. Throws `Error` when there is none.
Node& node_named(Graph& graph, const std::string& name);

/// Makes `tensor` the constant input `i` of the node. Other readers of the old constant, and the network's
/// outputs, keep that; the new one is then called `own_name`. Throws `Error` when there is no such node.
void set_constant_input(Graph& graph, const std::string& node, std::size_t i, Tensor tensor,
                        const std::string& own_name);

/// scale / sqrt(variance + epsilon) of each channel of a BatchNorm node; empty when its parameters are not
/// float32 constants of one length. Throws `Error` naming the node when a variance + epsilon is not positive.
std::vector<double> batch_norm_scale(const Graph& graph, const Node& node);

}  // namespace wins::graph
