// What a caller hands in, against what the network takes.
#pragma once

#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::runtime {

/// Throws `Error` naming the input whose rank or extents do not fit, or when the count is wrong.
/// Extents must be positive; dynamic ones (-1 in the graph) take any.
void check_input_shapes(const graph::Graph& graph, const std::vector<Shape>& shapes);

/// The same for tensors, which must also be defined and have the graph's element type.
/// Returns their shapes.
std::vector<Shape> check_inputs(const graph::Graph& graph, const std::vector<Tensor>& inputs);

/// "1x3x224x224" or "1x3x8x8, 1x2".
std::string shapes_text(const std::vector<Shape>& shapes);

}  // namespace wins::runtime
