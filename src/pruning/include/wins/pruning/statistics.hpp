// What a pruned network keeps, for reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::pruning {

/// One WinogradConv.
struct KeptRow {
  std::string layer;
  int m = 0;
  int p = 0;
  winograd::Axis axis = winograd::Axis::row;
  std::int64_t units = 0;          ///< per position, before pruning
  std::vector<std::int64_t> kept;  ///< units kept in each of the p*p positions, row-major
  int dead_positions = 0;          ///< positions that keep nothing: their V is not needed at all
  std::int64_t weights = 0;        ///< p*p*K*C
  std::int64_t pruned_weights = 0;
  double ratio() const;            ///< pruned_weights / weights
};

/// Every WinogradConv, in graph order.
std::vector<KeptRow> kept_table(const graph::Graph& graph);

/// One 1x1 convolution that BCBP has pruned.
struct ColumnRow {
  std::string layer;
  std::int64_t rows = 0, columns = 0, block = 0;  ///< K, C, height of a block
  std::vector<std::int64_t> kept;                 ///< columns kept in each block
  std::int64_t weights = 0;                       ///< K*C
  std::int64_t pruned_weights = 0;
  double ratio() const;                           ///< pruned_weights / weights
};

/// Every layer that the metadata names, in graph order.
std::vector<ColumnRow> column_table(const graph::Graph& graph);

/// Pruned weights / weights over the 1x1 convolutions that BCBP has pruned; 0 without any.
double column_ratio(const graph::Graph& graph);

/// PR of the network: pruned weights / weights over its Winograd layers; 0 without any.
double pruning_ratio(const graph::Graph& graph);

}  // namespace wins::pruning
