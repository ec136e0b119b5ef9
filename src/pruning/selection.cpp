#include "selection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>


#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

constexpr double kPruned = -std::numeric_limits<double>::infinity();

void check(const Selection& s, std::int64_t units, std::size_t scores) {
  require(s.ratio >= 0 && s.ratio < 1, "pruning ratio {} is outside [0, 1)", s.ratio);
  require(s.positions > 0 && s.rows > 0 && s.columns > 0, "nothing to prune in {} x {} x {} weights", s.positions,
          s.rows, s.columns);
  require(s.min_per_position >= 0 && s.min_per_position <= units, "floor of {} units in a position of {}",
          s.min_per_position, units);
  require(s.min_total >= 0 && s.min_total <= units * s.positions, "floor of {} units in a layer of {}", s.min_total,
          units * s.positions);
  require(s.round_to >= 1, "rounding to a multiple of {} rows", s.round_to);
  require(static_cast<std::int64_t>(scores) == units * s.positions, "{} scores for {} units", scores,
          units * s.positions);
}

}  // namespace

Ranking::Ranking(const Selection& selection, const std::vector<double>& scores)
    : selection_(selection), scores_(scores), positions_(selection.positions) {
  units_ = winograd::Mask{selection.axis, 0, selection.rows, selection.columns, {}}.units();
  check(selection, units_, scores.size());
  best_.resize(static_cast<std::size_t>(positions_));
  for (int xi = 0; xi < positions_; ++xi) {
    auto& order = best_[static_cast<std::size_t>(xi)];
    for (std::int64_t unit = 0; unit < units_; ++unit) {
      require(!std::isnan(score(xi, unit)), "the score of unit {} at position {} is NaN", unit, xi);
      if (score(xi, unit) != kPruned) order.push_back(unit);
    }
    // Best first; among equals the higher index first, so that the lower one is removed first.
    std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return score(xi, a) != score(xi, b) ? score(xi, a) > score(xi, b) : a > b;
    });
  }
}

Counts Ranking::available() const {
  Counts counts;
  for (const auto& order : best_) counts.push_back(static_cast<std::int64_t>(order.size()));
  return counts;
}

std::int64_t Ranking::wanted() const {
  const std::int64_t removed = std::llround(selection_.ratio * static_cast<double>(total()));
  return std::max({total() - removed, selection_.min_total, selection_.min_per_position * positions_});
}

winograd::Mask Ranking::keep_best(const Counts& counts) const {
  winograd::Mask mask =
      winograd::Mask::full(selection_.axis, positions_, selection_.rows, selection_.columns);
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  for (int xi = 0; xi < positions_; ++xi) {
    for (std::int64_t n = 0; n < counts[static_cast<std::size_t>(xi)]; ++n) {
      mask.keep[static_cast<std::size_t>(xi * units_ + best(xi)[static_cast<std::size_t>(n)])] = 1;
    }
  }
  return mask;
}

std::int64_t round_up(std::int64_t count, std::int64_t block, std::int64_t available) {
  return std::min((count + block - 1) / block * block, available);
}

}  // namespace wins::pruning
