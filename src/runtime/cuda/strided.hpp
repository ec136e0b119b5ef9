// Walks over the elements of an output with their offsets in it and in what it is made of.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "wins/runtime/cuda/divisor.hpp"
#include "kernel.hpp"

namespace wins::runtime::cuda {

inline constexpr int kMaxStridedAxes = 6;

/// One axis: elements from one index to the next, of the output and of each input.
template <int kOperands>
struct StridedAxis {
  std::int64_t extent = 1;
  std::array<std::int64_t, kOperands> strides{};
  /// The walk tells the index along it, and goes on through the zeros that fill its last unit.
  bool channel = false;
};

/// Axes innermost first, as kernels take them.
template <int kOperands>
struct StridedAxes {
  std::int32_t count = 0;
  std::int32_t channel_axis = -1;
  std::uint32_t channels = 1;  ///< of the channel axis, without those that fill its last unit
  std::uint32_t elements = 1;  ///< with those
  Divisor extents[kMaxStridedAxes];
  std::uint32_t strides[kMaxStridedAxes][kOperands] = {};
};

/// Sorts the axes by the strides of operand 0 and joins those that lie next to each other in all operands; at
/// most one is a channel axis, which stays for itself.
template <int kOperands>
StridedAxes<kOperands> make_strided(std::vector<StridedAxis<kOperands>> axes, std::int64_t unit) {
  std::erase_if(axes, [](const auto& axis) { return axis.extent == 1 && !axis.channel; });
  std::stable_sort(axes.begin(), axes.end(), [](const auto& a, const auto& b) { return a.strides[0] < b.strides[0]; });
  std::vector<StridedAxis<kOperands>> joined;
  for (const auto& axis : axes) {
    bool follows = !joined.empty() && !joined.back().channel && !axis.channel;
    for (std::size_t i = 0; follows && i < kOperands; ++i) {
      follows = axis.strides[i] == joined.back().strides[i] * joined.back().extent;
    }
    if (follows) {
      joined.back().extent *= axis.extent;
    } else {
      joined.push_back(axis);
    }
  }
  StridedAxes<kOperands> result;
  for (const auto& axis : joined) {
    const std::int64_t extent = axis.channel ? (axis.extent + unit - 1) / unit * unit : axis.extent;
    if (axis.channel) {
      result.channel_axis = result.count;
      result.channels = static_cast<std::uint32_t>(axis.extent);
    }
    result.extents[result.count] = Divisor(extent);
    for (std::size_t i = 0; i < kOperands; ++i) {
      result.strides[result.count][i] = static_cast<std::uint32_t>(axis.strides[i]);
    }
    result.elements *= static_cast<std::uint32_t>(extent);
    ++result.count;
  }
  return result;
}

/// Whether axis `d` of an output has channels that fill its last unit.
inline bool has_fill(const Layout& output, std::size_t d, std::int64_t unit) {
  return output.pitch > 0 && d == 1 && output.shape[1] % unit != 0;
}

/// The stride of an operand along axis `d` of an output of `rank` axes, 0 where it repeats (numpy broadcasting).
inline std::int64_t broadcast_stride(const Layout& operand, std::size_t d, std::size_t rank) {
  const std::size_t missing = rank - operand.shape.size();
  if (d < missing || operand.shape[d - missing] == 1) return 0;
  return operand.strides[d - missing];
}

#ifdef __CUDACC__
template <int kOperands>
struct Place {
  std::uint32_t offsets[kOperands] = {};
  std::uint32_t channel = 0;
  bool fill = false;  ///< a channel past the last one: zero in the output, absent from the inputs
};

template <int kOperands>
__device__ Place<kOperands> locate(const StridedAxes<kOperands>& axes, std::uint32_t index) {
  Place<kOperands> place;
  for (int a = 0; a < axes.count; ++a) {
    std::uint32_t along = index;
    index = axes.extents[a].divide(along);
    if (a == axes.channel_axis) {
      place.channel = along;
      place.fill = along >= axes.channels;
    }
#pragma unroll
    for (int i = 0; i < kOperands; ++i) place.offsets[i] += along * axes.strides[a][i];
  }
  return place;
}
#endif

}  // namespace wins::runtime::cuda
