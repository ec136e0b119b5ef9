// Single-node evaluation of everything that moves data or computes element by element: the one
// implementation that constant folding and the reference runtime share.
#pragma once

#include <optional>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// f(x) of an activation or element-wise function, in double.
double apply_activation(const Activation& function, double x);

/// Whether `evaluate` takes this operator: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Concat,
/// Split, Slice, Gather, Cast, Shape, ConstantOfShape, Expand, Range, Pad, DepthToSpace,
/// SpaceToDepth, Binary, Unary, Reduce.
bool can_evaluate(const Op& op);

/// Outputs of `node` for these inputs (nullptr for an absent optional one), of any element type
/// that the operator allows. Floats are computed in double and rounded once, integers wrap.
/// Throws `Error` naming the node when the operator is not supported here or the inputs are wrong.
std::vector<Tensor> evaluate(const Node& node, const std::vector<const Tensor*>& inputs);

}  // namespace wins::graph
