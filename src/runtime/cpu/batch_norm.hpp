// A batch norm in inference, as one scale and one shift for each channel.
#pragma once

#include "aligned.hpp"
#include "wins/graph/graph.hpp"

namespace wins::runtime::cpu {

struct BatchNormFactors {
  AlignedFloats scale, shift;  ///< channels padded to whole blocks with zeros
};

bool has_constant_statistics(const graph::Graph& graph, const graph::Node& node);
BatchNormFactors batch_norm_factors(const graph::Graph& graph, const graph::Node& node, int block);

}  // namespace wins::runtime::cpu
