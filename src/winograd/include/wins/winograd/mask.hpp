// Which weights of one Winograd layer are kept.
#pragma once

#include <cstdint>
#include <vector>

namespace wins::winograd {

/// What one mask entry covers inside the K x C weight matrix U[xi] of a position xi.
enum class Axis {
  row,      ///< row k of U[xi], 1 x C: the paper's pruning unit. Entry (xi, k).
  column,   ///< column c of U[xi], K x 1. Entry (xi, c).
  element,  ///< single weights (WWP). Entry (xi, k, c).
};

/// Keep flags of one layer, position-major: `keep[xi * units + unit]`, 1 = kept.
struct Mask {
  Axis axis = Axis::row;
  int positions = 0;         ///< p * p
  std::int64_t rows = 0;     ///< K
  std::int64_t columns = 0;  ///< C
  std::vector<std::uint8_t> keep;

  /// Everything kept.
  static Mask full(Axis axis, int positions, std::int64_t rows, std::int64_t columns);

  /// Entries per position: K, C or K * C.
  std::int64_t units() const;
  /// Weights that one entry covers: C, K or 1.
  std::int64_t unit_weights() const;
  bool kept(int xi, std::int64_t unit) const {
    return keep[static_cast<std::size_t>(xi * units() + unit)] != 0;
  }
  /// Whether weight (xi, k, c) is kept, whatever the axis.
  bool weight_kept(int xi, std::int64_t k, std::int64_t c) const;
  std::int64_t kept_in(int xi) const;  ///< kept entries of one position
  std::int64_t kept_total() const;     ///< kept entries of the layer
  /// Pruned weights / weights of this layer, in [0, 1].
  double pruning_ratio() const;

  bool operator==(const Mask&) const = default;
};

}  // namespace wins::winograd
