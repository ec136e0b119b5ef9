// WINS-B: every position keeps the same number of units, so that all sub-GEMMs are equal.
#include <algorithm>
#include <cmath>

#include "selection.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {

winograd::Mask select_wins_b(const Selection& selection, const std::vector<double>& scores) {
  const Ranking ranking(selection, scores);
  const std::int64_t units = ranking.units();
  const std::int64_t removed = std::llround(selection.ratio * static_cast<double>(units));
  const std::int64_t share = (selection.min_total + ranking.positions() - 1) / ranking.positions();
  const std::int64_t floor = std::max({units - removed, selection.min_per_position, share});

  const Counts available = ranking.available();
  const auto [fewest, most] = std::minmax_element(available.begin(), available.end());
  const std::int64_t kept = round_up(std::min(floor, *most), selection.round_to, *most);
  require(kept <= *fewest, "WINS-B wants {} units in every position, but an earlier step has left one with {}", kept,
          *fewest);
  return ranking.keep_best(Counts(available.size(), kept));
}

}  // namespace wins::pruning
