// WINS: all (position, unit) pairs of a layer compete, the lowest go.
#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

#include "selection.hpp"

namespace wins::pruning {
namespace {

/// Removes the worst kept unit of any position again and again, floors permitting.
Counts rank_together(const Selection& selection, const Ranking& ranking) {
  Counts counts = ranking.available();
  std::int64_t excess = std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) - ranking.wanted();
  // Worst of each position: (score, index in the layer), lowest first.
  using Entry = std::tuple<double, std::int64_t, int>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> worst;
  const auto offer = [&](int xi) {
    const std::int64_t kept = counts[static_cast<std::size_t>(xi)];
    if (kept <= selection.min_per_position || kept == 0) return;
    const std::int64_t unit = ranking.best(xi)[static_cast<std::size_t>(kept - 1)];
    worst.emplace(ranking.score(xi, unit), xi * ranking.units() + unit, xi);
  };
  for (int xi = 0; xi < ranking.positions(); ++xi) offer(xi);
  for (; excess > 0 && !worst.empty(); --excess) {
    const int xi = std::get<int>(worst.top());
    worst.pop();
    --counts[static_cast<std::size_t>(xi)];
    offer(xi);
  }
  return counts;
}

/// Size of the last block of a position that keeps `count` units.
std::int64_t last_block(std::int64_t count, std::int64_t block) {
  const std::int64_t rest = count % block;
  return rest != 0 ? rest : std::min(count, block);
}

/// Rounds the counts up to whole blocks, then gives back the cheapest blocks (lowest sum of
/// scores) as long as more is kept than wanted.
void round_counts(const Selection& selection, const Ranking& ranking, Counts& counts) {
  const Counts available = ranking.available();
  for (std::size_t xi = 0; xi < counts.size(); ++xi) {
    counts[xi] = round_up(counts[xi], selection.round_to, available[xi]);
  }
  while (true) {
    const std::int64_t excess =
        std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) - ranking.wanted();
    std::size_t cheapest = counts.size();
    double price = std::numeric_limits<double>::infinity();
    for (std::size_t xi = 0; xi < counts.size(); ++xi) {
      const std::int64_t block = last_block(counts[xi], selection.round_to);
      if (block == 0 || block > excess || counts[xi] - block < selection.min_per_position) continue;
      double sum = 0;
      for (std::int64_t n = counts[xi] - block; n < counts[xi]; ++n) {
        sum += ranking.score(static_cast<int>(xi), ranking.best(static_cast<int>(xi))[static_cast<std::size_t>(n)]);
      }
      if (sum < price) {
        price = sum;
        cheapest = xi;
      }
    }
    if (cheapest == counts.size()) return;
    counts[cheapest] -= last_block(counts[cheapest], selection.round_to);
  }
}

}  // namespace

winograd::Mask select_wins(const Selection& selection, const std::vector<double>& scores) {
  const Ranking ranking(selection, scores);
  Counts counts = rank_together(selection, ranking);
  if (selection.round_to > 1) round_counts(selection, ranking, counts);
  return ranking.keep_best(counts);
}

}  // namespace wins::pruning
