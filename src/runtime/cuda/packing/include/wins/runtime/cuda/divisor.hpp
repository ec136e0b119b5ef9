// Division by a number that is fixed for a launch, as a multiplication.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#define WINS_DEVICE __host__ __device__
#else
#define WINS_DEVICE
#endif

namespace wins::runtime::cuda {

/// a / b, rounded up, of a >= 0 and b > 0.
template <class A, class B>
WINS_DEVICE constexpr std::common_type_t<A, B> divide_up(A a, B b) {
  return (a + b - 1) / b;
}

/// Of all numbers below 2^31: the reciprocal 2^(31 + ceil(log2 d)) / d, rounded up, has 32 significant bits, and the
/// quotient is the upper half of the product, shifted (Granlund & Montgomery, "Division by Invariant Integers
/// using Multiplication", PLDI 1994).
class Divisor {
 public:
  Divisor() = default;
  /// 1 <= divisor < 2^31.
  explicit constexpr Divisor(std::int64_t divisor) : divisor_(static_cast<std::uint32_t>(divisor)) {
    if (divisor_ == 1) return;
    const int bits = std::bit_width(divisor_ - 1);
    reciprocal_ = static_cast<std::uint32_t>(((std::uint64_t{1} << (31 + bits)) + divisor_ - 1) / divisor_);
    shift_ = static_cast<std::uint32_t>(bits - 1);
  }

  /// n / divisor.
  WINS_DEVICE constexpr std::uint32_t quotient(std::uint32_t n) const {
    return reciprocal_ == 0 ? n : static_cast<std::uint32_t>((static_cast<std::uint64_t>(n) * reciprocal_) >> 32) >> shift_;
  }

#ifdef __CUDACC__
  /// The quotient; n becomes the remainder.
  template <class Int>
  __device__ Int divide(Int& n) const {
    const std::uint32_t q = reciprocal_ == 0 ? static_cast<std::uint32_t>(n) : __umulhi(static_cast<std::uint32_t>(n), reciprocal_) >> shift_;
    n -= static_cast<Int>(q * divisor_);
    return static_cast<Int>(q);
  }
#endif

 private:
  std::uint32_t divisor_ = 1, reciprocal_ = 0, shift_ = 0;
};

}  // namespace wins::runtime::cuda
