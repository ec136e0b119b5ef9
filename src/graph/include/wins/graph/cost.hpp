// Counting work: multiply-adds and parameters, dense and as pruned.
#pragma once

#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Cost of one node for concrete shapes. Multiply-adds of linear operators only (Conv, Gemm,
/// MatMul, WinogradConv), as the literature counts "FLOPs".
struct NodeCost {
  std::string node;
  std::string op;
  std::int64_t direct_macs = 0;  ///< as a direct convolution, nothing pruned
  /// As stored: for WinogradConv, kept weights x tiles (the multiplications of the sub-GEMMs); for a Conv whose columns
  /// are pruned (column_mask.hpp), kept weights x output pixels.
  std::int64_t macs = 0;
  std::int64_t parameters = 0;        ///< kept weights + bias (BatchNorm: scale + shift)
  std::int64_t dense_parameters = 0;  ///< weights before pruning (p*p*K*C for WinogradConv) + bias
};

struct NetworkCost {
  std::vector<NodeCost> nodes;
  std::int64_t direct_macs() const;
  std::int64_t macs() const;
  std::int64_t parameters() const;
  /// Pruned weights / weights over the Winograd layers (PR of design section 2); 0 without any. Columns of 1x1
  /// convolutions do not count.
  double pruning_ratio(const Graph& graph) const;
  /// Multiply-adds saved / multiply-adds of the dense network run with direct convolution.
  double pruned_flops() const;
};

/// `graph` must be specialised (concrete shapes).
NetworkCost count_cost(const Graph& graph);

}  // namespace wins::graph
