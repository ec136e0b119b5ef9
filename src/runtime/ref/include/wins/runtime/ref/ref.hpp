// The oracle: plain loops for every operator, in double or float.
#pragma once

#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::runtime::ref {

enum class Precision { float32, float64 };

/// One node. Float inputs may be f32 or f64; the outputs have the precision asked for (integer
/// tensors stay integer). Throws `Error` naming the node when it is not supported.
std::vector<Tensor> run_node(const graph::Node& node, const std::vector<const Tensor*>& inputs, Precision precision);

/// The whole graph (need not be specialised); outputs in order.
std::vector<Tensor> run(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision);

/// The whole graph; every value, indexed by ValueId (undefined tensors for unused ones).
std::vector<Tensor> run_all(const graph::Graph& graph, const std::vector<Tensor>& inputs, Precision precision);

}  // namespace wins::runtime::ref
