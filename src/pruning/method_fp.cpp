// FP: filter pruning in the Winograd domain, the baseline: a filter goes from all positions at once.
#include "selection.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {

winograd::Mask select_fp(const Selection& selection, const std::vector<double>& filter_scores) {
  require(selection.axis == winograd::Axis::row, "filter pruning removes rows: axis must be row");
  require(selection.positions > 0, "nothing to prune in {} positions", selection.positions);
  // The same problem with one position whose units are the filters.
  Selection filters = selection;
  filters.positions = 1;
  filters.min_total = (selection.min_total + selection.positions - 1) / selection.positions;
  const winograd::Mask chosen = select_wins(filters, filter_scores);

  winograd::Mask mask =
      winograd::Mask::full(selection.axis, selection.positions, selection.rows, selection.columns);
  for (std::size_t i = 0; i < mask.keep.size(); ++i) mask.keep[i] = chosen.keep[i % chosen.keep.size()];
  return mask;
}

}  // namespace wins::pruning
