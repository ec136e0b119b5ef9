#include "wins/winograd/mask.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::winograd {

Mask Mask::full(Axis axis, int positions, std::int64_t rows, std::int64_t columns) {
  require(positions >= 0 && rows >= 0 && columns >= 0, "mask: negative extent {} x {} x {}", positions, rows, columns);
  Mask mask{axis, positions, rows, columns, {}};
  mask.keep.assign(static_cast<std::size_t>(positions * mask.units()), 1);
  return mask;
}

std::int64_t Mask::units() const {
  switch (axis) {
    case Axis::row: return rows;
    case Axis::column: return columns;
    case Axis::element: return rows * columns;
  }
  fail("mask: unknown axis");
}

std::int64_t Mask::unit_weights() const {
  switch (axis) {
    case Axis::row: return columns;
    case Axis::column: return rows;
    case Axis::element: return 1;
  }
  fail("mask: unknown axis");
}

bool Mask::weight_kept(int xi, std::int64_t k, std::int64_t c) const {
  switch (axis) {
    case Axis::row: return kept(xi, k);
    case Axis::column: return kept(xi, c);
    case Axis::element: return kept(xi, k * columns + c);
  }
  fail("mask: unknown axis");
}

std::int64_t Mask::kept_in(int xi) const {
  const auto first = keep.begin() + static_cast<std::ptrdiff_t>(xi * units());
  return std::count_if(first, first + static_cast<std::ptrdiff_t>(units()), [](std::uint8_t k) { return k != 0; });
}

std::int64_t Mask::kept_total() const {
  return std::count_if(keep.begin(), keep.end(), [](std::uint8_t k) { return k != 0; });
}

double Mask::pruning_ratio() const {
  if (keep.empty()) return 0;
  const auto total = static_cast<std::int64_t>(keep.size());
  return static_cast<double>(total - kept_total()) / static_cast<double>(total);
}

}  // namespace wins::winograd
