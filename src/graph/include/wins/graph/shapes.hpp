// Shape inference, and specialisation of a graph to concrete input shapes.
#pragma once

#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Fills `shape` and `dtype` of every value from those of the inputs (-1 stays unknown; what stood
/// there before is overwritten). Shape tensors that are partly known (Shape -> Gather -> Concat ->
/// Reshape with a dynamic batch) are followed.
/// Throws `Error` naming the node when shapes contradict each other.
void infer_shapes(Graph& graph);

/// The graph for exactly these input shapes (one per graph input, all extents > 0 known):
/// every value has a concrete shape; auto_pad is resolved; Shape/Gather/Cast/... chains that
/// only compute shapes, and any node with constant inputs alone, are folded into constants (bounded:
/// what would take much more memory than the weights stays a node). A graph output may thereby
/// become a constant. Unused nodes and values are gone; names stay.
/// Throws `Error` naming the node when a shape is wrong, an intermediate would exceed
/// `max_elements`, or a shape depends on data.
Graph specialize(const Graph& graph, const std::vector<wins::Shape>& input_shapes,
                 std::int64_t max_elements = std::int64_t{1} << 33);

/// The input shapes with every dynamic extent replaced: the first by `batch`, spatial ones by
/// `spatial`, or, when that is 0, by the metadata's `wins.input.height` and `wins.input.width`, or
/// by 224; channels by `wins.input.channels` or 3. Throws `Error` naming an input of unknown rank.
std::vector<wins::Shape> default_input_shapes(const Graph& graph, std::int64_t batch,
                                              std::int64_t spatial = 0);

/// Single-node evaluation on small constants, any operator without weights (used by
/// `specialize`). Returns nothing when the operator is not supported there.
std::optional<std::vector<Tensor>> evaluate_constant(const Node& node,
                                                     const std::vector<const Tensor*>& inputs);

}  // namespace wins::graph
