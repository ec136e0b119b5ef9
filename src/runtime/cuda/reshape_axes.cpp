#include "reshape_axes.hpp"

#include <algorithm>

namespace wins::runtime::cuda {
namespace {

constexpr std::size_t kMaxAxes = 8;  // of a copy
constexpr std::int64_t kMaxTable = std::int64_t{1} << 24;

/// Products of the last extents, from 1 to the number of elements: where the axes of a row-major order end.
std::vector<std::int64_t> ends_of(const Shape& shape) {
  std::vector<std::int64_t> ends{1};
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] > 1) ends.push_back(ends.back() * shape[d]);
  }
  return ends;
}

/// Where the element with this place in row-major order lies.
std::int64_t offset_of(const Layout& layout, std::int64_t place) {
  std::int64_t offset = 0;
  for (std::size_t d = layout.shape.size(); d-- > 0;) {
    offset += place % layout.shape[d] * layout.strides[d];
    place /= layout.shape[d];
  }
  return offset;
}

/// Elements 0, step, 2 step, ... in row-major order. Offsets are sums over the axes, so that those of a range of
/// axes begin at zero.
std::vector<std::int64_t> table_of(const Layout& layout, std::int64_t count, std::int64_t step) {
  std::vector<std::int64_t> table(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = offset_of(layout, static_cast<std::int64_t>(i) * step);
  return table;
}

}  // namespace

std::optional<std::vector<CopyAxis>> reshape_axes(const Layout& from, const Layout& to) {
  const std::vector<std::int64_t> a = ends_of(from.shape), b = ends_of(to.shape);
  std::vector<std::int64_t> common, all;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
  // Between two common ends either every end divides the next one, or one table takes all.
  std::vector<std::int64_t> ends{1};
  for (std::size_t i = 0; i + 1 < common.size(); ++i) {
    const auto first = std::lower_bound(all.begin(), all.end(), common[i]);
    const auto last = std::upper_bound(all.begin(), all.end(), common[i + 1]);
    const bool divides = std::adjacent_find(first, last, [](std::int64_t x, std::int64_t y) { return y % x != 0; }) == last;
    if (divides) ends.insert(ends.end(), first + 1, last - 1);
    ends.push_back(common[i + 1]);
  }
  if (ends.size() > kMaxAxes + 1) ends = common;
  if (ends.size() > kMaxAxes + 1) return std::nullopt;
  std::vector<CopyAxis> axes;
  for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
    const std::int64_t count = ends[i + 1] / ends[i];
    if (count > kMaxTable) return std::nullopt;
    axes.push_back({table_of(from, count, ends[i]), table_of(to, count, ends[i])});
  }
  return axes;
}

}  // namespace wins::runtime::cuda
