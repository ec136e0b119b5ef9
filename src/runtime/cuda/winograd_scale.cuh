// The power of two under which the fused kernel takes float32 pixels as float16.
#pragma once

#include <cstdint>

namespace wins::runtime::cuda {

inline constexpr std::uint32_t kUnchanged = 0x3F800000U;  // 1
inline constexpr std::uint32_t kInfinityBits = 0x7F800000U;
inline constexpr float kSmallestNormal = 0x1p-126F;

/// The scale of a rectangle's pixels, the same in all threads, by exponents: a turn of channels brings it down where its largest pixel would reach 2^13, since
/// V may be four times as large and float16 ends at 2^16. It leaves 2^10 then, so that turns of about the same size change nothing. Numbers are exact to 11
/// bits down to 2^-24 of the largest, below that to 2^-35 of it.
class BlockScale {
 public:
  /// Takes a turn's largest pixel (bits of a finite float32) into account; the bits of what earlier sums are to be multiplied by.
  __device__ std::uint32_t adapt(std::uint32_t largest, bool first) {
    const int exponent = static_cast<int>(largest >> 23);  // biased, as exponent_ is
    if (!first && exponent + exponent_ < 2 * kBias + kMost) return kUnchanged;
    const int before = exponent_;
    exponent_ = min(max(2 * kBias + kStart - exponent, 1), 2 * kBias - 1);
    return first ? kUnchanged : static_cast<std::uint32_t>(max(exponent_ - before + kBias, 0)) << 23;
  }
  __device__ float factor() const { return __uint_as_float(static_cast<std::uint32_t>(exponent_) << 23); }
  __device__ float inverse() const { return __uint_as_float(static_cast<std::uint32_t>(2 * kBias - exponent_) << 23); }

 private:
  static constexpr int kBias = 127, kMost = 13, kStart = 10;
  int exponent_ = kBias;
};

}  // namespace wins::runtime::cuda
