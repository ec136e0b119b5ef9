// Division by a number that is fixed for a launch, as a multiplication.
#pragma once

#include <cstdint>

namespace wins::runtime::cuda {

/// Of numbers n with n * divisor < 2^32: then the product with 2^32 / divisor, rounded up, has the quotient in its
/// upper half (Granlund & Montgomery, "Division by Invariant Integers using Multiplication", PLDI 1994).
class Divisor {
 public:
  Divisor() = default;
  explicit constexpr Divisor(std::int32_t divisor)
      : divisor_(static_cast<std::uint32_t>(divisor)),
        inverse_(divisor == 1 ? 0 : static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + divisor_ - 1) / divisor_)) {}

  std::uint32_t inverse() const { return inverse_; }

#ifdef __CUDACC__
  /// The quotient; n becomes the remainder.
  __device__ int divide(int& n) const {
    const std::uint32_t q = inverse_ == 0 ? static_cast<std::uint32_t>(n) : __umulhi(static_cast<std::uint32_t>(n), inverse_);
    n -= static_cast<int>(q * divisor_);
    return static_cast<int>(q);
  }
#endif

 private:
  std::uint32_t divisor_ = 1, inverse_ = 0;
};

}  // namespace wins::runtime::cuda
