// 1x1 convolutions that are pruned in columns of row blocks (BCBP, docs/methods.md): an ordinary Conv whose weights are
// zero there. Which layers are meant stands in the metadata; which columns are kept, in the zeros.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Metadata of what was pruned so: JSON {"block", "ratio", "balanced", "criterion", "layers": [{"name", "ratio"}]}.
inline constexpr const char* kColumnPruning = "wins.bcbp";

/// Largest height of a block that makes sense to ask for.
inline constexpr std::int64_t kMaxBlock = std::int64_t{1} << 30;

/// A K x C matrix cut into blocks of `block` rows (the last one may be shorter), and which column vectors (the block's
/// height x 1) are kept.
struct ColumnMask {
  std::int64_t rows = 0, columns = 0;  ///< K, C
  std::int64_t block = 1;
  std::vector<std::uint8_t> keep;  ///< [blocks, columns], 1 = kept

  /// Everything kept. Throws `Error` when an extent is below 1, or the block above `kMaxBlock`.
  static ColumnMask full(std::int64_t rows, std::int64_t columns, std::int64_t block);

  std::int64_t blocks() const { return (rows + block - 1) / block; }
  /// Rows of block b.
  std::int64_t height(std::int64_t b) const { return std::min(block, rows - b * block); }
  bool kept(std::int64_t b, std::int64_t c) const { return keep[static_cast<std::size_t>(b * columns + c)] != 0; }
  bool weight_kept(std::int64_t k, std::int64_t c) const { return kept(k / block, c); }
  std::int64_t kept_in(std::int64_t b) const;  ///< kept columns of one block
  std::int64_t kept_weights() const;
  double pruning_ratio() const;  ///< pruned weights / weights, in [0, 1]

  bool operator==(const ColumnMask&) const = default;
};

/// Why a Conv is no K x C matrix of one row a channel; empty when it is (1x1 kernel, group 1, constant float32 weights;
/// any stride and pads).
std::string pointwise_refusal(const Graph& graph, const Node& node);

/// Block height of each layer that the metadata names, by node name; empty without that entry. Throws `Error` when the
/// entry is damaged.
std::map<std::string, std::int64_t> column_blocks(const Graph& graph);

/// The columns of `weights` ([K, C, 1, 1] float32) that hold anything but zeros.
ColumnMask nonzero_columns(const Tensor& weights, std::int64_t block);

/// The kept columns of a layer that the metadata names; nothing for any other node. Throws like `column_blocks`.
std::optional<ColumnMask> column_mask(const Graph& graph, const Node& node);

}  // namespace wins::graph
