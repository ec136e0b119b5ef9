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

/// Geometry and bounds of one selection.
struct Selection {
  int positions = 0;
  std::int64_t rows = 0, columns = 0;  ///< K, C
  winograd::Axis axis = winograd::Axis::row;
  double ratio = 0;                  ///< units to remove / units, [0, 1)
  std::int64_t min_per_position = 0;  ///< units that every position keeps at least
  std::int64_t min_total = 1;         ///< units that the layer keeps at least
  std::int64_t round_to = 1;          ///< kept units per position rounded up to a multiple
};

/// WINS: units of all positions ranked together, lowest removed. Ties go to the lower index.
winograd::Mask select_wins(const Selection& selection, const std::vector<double>& scores);
/// WINS-B: the same number removed from each position.
winograd::Mask select_wins_b(const Selection& selection, const std::vector<double>& scores);
/// FP: all p*p rows of the lowest filters. `scores` has K entries.
winograd::Mask select_fp(const Selection& selection, const std::vector<double>& filter_scores);
/// WWP: single elements; `scores` has p*p*K*C entries (axis element).
winograd::Mask select_wwp(const Selection& selection, const std::vector<double>& scores);

}  // namespace wins::pruning
