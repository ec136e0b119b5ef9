// Steps that copy elements: the source of an output element is the sum of one table entry per axis.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.hpp"

namespace wins::runtime::cpu {

/// Table entry of an output index that has no source: it takes the fill value.
inline constexpr std::int64_t kFill = -1;

/// One entry for each index of an output axis: an index of the source's axis, or (once a layout is
/// chosen) an offset in floats.
using Table = std::vector<std::int64_t>;

/// The tables 0, 1, 2, ... of whole axes.
std::vector<Table> whole_axes(const Shape& shape);

/// Turns indices into offsets of a row-major tensor of `source` extents.
std::vector<Table> plain_offsets(std::vector<Table> indices, const Shape& source);
/// The same for one in blocks, with `pitch` floats between its images.
std::vector<Table> blocked_offsets(std::vector<Table> indices, const Shape& source, int block, std::int64_t pitch);

/// Writes output `output` of the node in plain layout. `offsets` has a table for each axis of the
/// output, or of any shape with as many elements in the same order.
std::unique_ptr<Step> plain_pick_step(std::vector<Table> offsets, std::size_t output, float fill,
                                      int threads);

/// Where a blocked output goes.
struct BlockedTarget {
  std::size_t output;  ///< of the node
  std::int64_t pitch;  ///< floats between images
  int block;
};
/// Writes a blocked output; `offsets` are those of N, C, H and W in a blocked source.
std::unique_ptr<Step> blocked_pick_step(std::vector<Table> offsets, const BlockedTarget& target, float fill,
                                        int threads);

}  // namespace wins::runtime::cpu
