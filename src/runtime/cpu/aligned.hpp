// Owned float storage on cache-line boundaries.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace wins::runtime::cpu {

inline constexpr std::size_t kAlignment = 64;
inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Uninitialised array of floats, 64-byte aligned, movable.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(std::int64_t count)
      : data_(static_cast<float*>(::operator new[](bytes_for(count), std::align_val_t{alignment_for(count)})),
              Release{alignment_for(count)}),
        count_(count) {
    if (bytes_for(count) >= kHugePage) madvise(data_.get(), bytes_for(count), MADV_HUGEPAGE);
  }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  std::int64_t size() const { return count_; }
  std::size_t byte_size() const { return static_cast<std::size_t>(count_) * sizeof(float); }

 private:
  static std::size_t bytes_for(std::int64_t count) {
    return (static_cast<std::size_t>(count) * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  }
  /// Weights and activations are read in long streams: with small pages each 4 KiB stops the
  /// hardware's prefetcher and costs a page walk.
  static std::size_t alignment_for(std::int64_t count) {
    return bytes_for(count) >= kHugePage ? kHugePage : kAlignment;
  }
  struct Release {
    std::size_t alignment;
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{alignment}); }
  };
  std::unique_ptr<float[], Release> data_{nullptr, Release{kAlignment}};
  std::int64_t count_ = 0;
};

/// a / b, rounded up; for counts.
constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}
/// `a` rounded up to a multiple of `b`.
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) {
  return divide_up(a, b) * b;
}

}  // namespace wins::runtime::cpu
