// From scores to a mask: one method per file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wins/winograd/mask.hpp"

namespace wins::pruning {

enum class Method { dense, wins, wins_b, wins_ab, fp, wwp };
Method parse_method(const std::string& text);  ///< "dense", "wins", "wins-b", "wins-ab", "fp", "wwp"
std::string to_string(Method method);

/// Geometry and bounds of one selection. Scores are position-major like Mask::keep, higher = more
/// important; a score of -infinity marks a unit that an earlier step has pruned: it stays pruned
/// and counts as removed, floors and rounding cannot bring it back. Among equal scores the unit
/// with the lower index goes first.
struct Selection {
  int positions = 0;
  std::int64_t rows = 0, columns = 0;  ///< K, C
  winograd::Axis axis = winograd::Axis::row;
  double ratio = 0;  ///< units to remove / units, [0, 1); the number is rounded to the nearest
  std::int64_t min_per_position = 0;  ///< units that every position keeps at least
  std::int64_t min_total = 1;         ///< units that the layer keeps at least
  /// Kept units per position are a multiple of this (or all that were left). Counts are rounded
  /// up; WINS then gives back the cheapest whole blocks while it keeps more than the ratio asks.
  std::int64_t round_to = 1;
};

/// WINS: units of all positions ranked together, lowest removed; the total is exact to one unit
/// (one block with `round_to`) where the floors allow it.
winograd::Mask select_wins(const Selection& selection, const std::vector<double>& scores);
/// WINS-B: the same number kept in each position, exact to one unit of each. Throws `Error` when
/// earlier steps have left a position with fewer units than that.
winograd::Mask select_wins_b(const Selection& selection, const std::vector<double>& scores);
/// FP: all p*p rows of the lowest filters, exact to one filter. `filter_scores` has K entries;
/// floors per position are floors of the filters kept; the axis must be `row`.
winograd::Mask select_fp(const Selection& selection, const std::vector<double>& filter_scores);
/// WWP: single elements, all positions together; `scores` has p*p*K*C entries; the axis must be
/// `element` and `round_to` 1.
winograd::Mask select_wwp(const Selection& selection, const std::vector<double>& scores);

}  // namespace wins::pruning
