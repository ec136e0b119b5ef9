// The scales and shifts of a batch norm in blocks of channels.
#pragma once

#include "aligned.hpp"
#include "wins/graph/graph.hpp"

namespace wins::runtime::cpu {

struct BatchNormFactors {
  AlignedFloats scale, shift;  ///< channels padded to whole blocks with zeros
};

BatchNormFactors batch_norm_factors(const graph::Graph& graph, const graph::Node& node, int block);

}  // namespace wins::runtime::cpu
