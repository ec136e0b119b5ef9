// Copies of elements, between layouts and number formats: the source of an element is the sum of one table entry
// per axis, its target too.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"

namespace wins::runtime::cuda {

enum class Number : std::uint8_t { f32, f16, bf16 };
Number number_of(Operand operand);

/// Source entries without a source.
inline constexpr std::int64_t kFill = -1;  ///< the fill value
inline constexpr std::int64_t kZero = -2;  ///< zero, whatever the other axes say

/// One axis: for each index the elements that it adds to the offset, in source and target.
struct CopyAxis {
  std::vector<std::int64_t> source, target;
};

struct Copy {
  std::vector<CopyAxis> axes;  ///< at most 8
  Number from = Number::f32, to = Number::f32;
  float fill = 0;
  std::size_t input = 0, output = 0;  ///< of the node
};

/// Offsets 0, stride, 2 stride, ...
std::vector<std::int64_t> steps_of(std::int64_t extent, std::int64_t stride);

/// Axes that copy a whole tensor from one layout to another of the same shape; channels that fill the target's
/// last unit become zeros.
std::vector<CopyAxis> whole(const Layout& from, const Layout& to, std::int64_t unit);

/// Adds zeros for channels that fill the last unit of an NHWC target; `channel_axis` is the one of `axes` that
/// runs over its channels.
void fill_unit(std::vector<CopyAxis>& axes, std::size_t channel_axis, std::int64_t unit);

Step copy_step(Copy copy);

}  // namespace wins::runtime::cuda
