// A batch norm in inference, as one scale and one shift for each channel.
#pragma once

#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::runtime {

struct ScaleShift {
  std::vector<float> scale, shift;
};

/// Whether everything but the input of a BatchNorm node is constant.
bool has_constant_statistics(const graph::Graph& graph, const graph::Node& node);
/// Of a BatchNorm node with constant statistics; computed in double.
ScaleShift scale_shift_of(const graph::Graph& graph, const graph::Node& node);

}  // namespace wins::runtime
