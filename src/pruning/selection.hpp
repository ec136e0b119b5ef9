// What the methods share. Private to the room.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/pruning/methods.hpp"

namespace wins::pruning {

/// Kept units of each position.
using Counts = std::vector<std::int64_t>;

/// A checked selection with the units of each position ranked.
class Ranking {
 public:
  /// Throws `Error` when the bounds, the ratio or the number of scores make no sense.
  Ranking(const Selection& selection, const std::vector<double>& scores);

  std::int64_t units() const { return units_; }        ///< per position
  std::int64_t total() const { return units_ * positions_; }
  int positions() const { return positions_; }
  /// Units of position xi that earlier steps left, best first.
  const std::vector<std::int64_t>& best(int xi) const { return best_[static_cast<std::size_t>(xi)]; }
  double score(int xi, std::int64_t unit) const { return scores_[static_cast<std::size_t>(xi * units_ + unit)]; }
  Counts available() const;
  /// Units that the ratio asks to keep in the whole layer, floors included.
  std::int64_t wanted() const;

  /// The best `counts[xi]` units of each position.
  winograd::Mask keep_best(const Counts& counts) const;

 private:
  const Selection& selection_;
  const std::vector<double>& scores_;
  int positions_ = 0;
  std::int64_t units_ = 0;
  std::vector<std::vector<std::int64_t>> best_;
};

/// `count` rounded up to a multiple of `block`, at most `available`.
std::int64_t round_up(std::int64_t count, std::int64_t block, std::int64_t available);

}  // namespace wins::pruning
