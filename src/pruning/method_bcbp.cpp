// BCBP: ratios block by block from one ranking over the layer, then the same number of columns for each block.
#include <algorithm>
#include <cmath>

#include "wins/base/error.hpp"
#include "wins/pruning/columns.hpp"

namespace wins::pruning {
namespace {

using graph::ColumnMask;
using Counts = std::vector<std::int64_t>;

std::vector<std::size_t> worst_first(const ColumnMask& mask, const std::vector<double>& scores) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < mask.keep.size(); ++i) {
    if (mask.keep[i] != 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  return order;
}

/// Removes the worst columns as long as their block holds more than `least` of it.
void remove_worst(ColumnMask& mask, const std::vector<std::size_t>& order, std::int64_t count, const Counts& least) {
  Counts kept;
  for (std::int64_t b = 0; b < mask.blocks(); ++b) kept.push_back(mask.kept_in(b));
  for (const std::size_t i : order) {
    const std::size_t b = i / static_cast<std::size_t>(mask.columns);
    if (count <= 0) return;
    if (kept[b] <= least[b]) continue;
    mask.keep[i] = 0;
    --kept[b];
    --count;
  }
}

}  // namespace

ColumnMask select_columns(const ColumnPruning& pruning, const ColumnMask& before, const std::vector<double>& scores) {
  require(pruning.ratio >= 0 && pruning.ratio < 1, "pruning ratio {} is outside [0, 1)", pruning.ratio);
  require(pruning.block == before.block, "blocks of {} rows where the mask has {}", pruning.block, before.block);
  require(scores.size() == before.keep.size(), "{} scores for {} column vectors", scores.size(), before.keep.size());
  require(std::none_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }), "a score is NaN");
  const std::int64_t blocks = before.blocks(), total = blocks * before.columns;
  const std::vector<std::size_t> order = worst_first(before, scores);
  const std::int64_t gone = total - static_cast<std::int64_t>(order.size());
  const std::int64_t wanted = std::llround(pruning.ratio * static_cast<double>(total));
  if (wanted <= gone) return before;

  ColumnMask mask = before;
  remove_worst(mask, order, wanted - gone, Counts(static_cast<std::size_t>(blocks), 1));
  if (!pruning.balanced) return mask;

  std::int64_t removed = total;
  for (std::int64_t b = 0; b < blocks; ++b) removed -= mask.kept_in(b);
  const std::int64_t each = std::llround(static_cast<double>(removed) / static_cast<double>(blocks));
  const std::int64_t keep = std::max<std::int64_t>(1, before.columns - each);
  ColumnMask even = before;
  remove_worst(even, order, total, Counts(static_cast<std::size_t>(blocks), keep));
  return even;
}

}  // namespace wins::pruning
