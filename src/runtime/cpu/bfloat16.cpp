#include "bfloat16.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace wins::runtime::cpu {
namespace {

constexpr std::uint32_t kSign = 0x80000000U;
constexpr std::uint32_t kSmallest = 0x1000;  // 2^-95
constexpr std::uint32_t kLargest = 0x7F7F;

AlignedFloats storage(std::size_t halves) {
  return AlignedFloats(std::max<std::int64_t>(1, divide_up(static_cast<std::int64_t>(halves), 2)));
}

/// The half that makes (half << 16 | low) nearest to `value`.
std::uint16_t upper_half(float value, std::uint16_t low) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (!std::isfinite(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  const std::uint32_t magnitude = bits & ~kSign;
  const std::uint32_t rounded = magnitude + 0x8000U > low ? (magnitude + 0x8000U - low) >> 16 : 0;
  return static_cast<std::uint16_t>((bits & kSign) >> 16 | std::clamp(rounded, kSmallest, kLargest));
}

}  // namespace

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

AlignedFloats pack_floats(std::span<const float> values) {
  AlignedFloats packed = storage(2 * values.size());
  std::copy(values.begin(), values.end(), packed.data());
  return packed;
}

AlignedFloats pack_bfloat16(std::span<const float> values) {
  AlignedFloats packed = storage(values.size());
  std::transform(values.begin(), values.end(), reinterpret_cast<std::uint16_t*>(packed.data()), to_bfloat16);
  return packed;
}

AlignedFloats pack_overlapping(std::span<const float> values) {
  AlignedFloats packed = storage(values.size() + 1);
  auto* halves = reinterpret_cast<std::uint16_t*>(packed.data());
  halves[0] = 0;
  for (std::size_t i = 0; i < values.size(); ++i) halves[i + 1] = upper_half(values[i], halves[i]);
  return packed;
}

}  // namespace wins::runtime::cpu
