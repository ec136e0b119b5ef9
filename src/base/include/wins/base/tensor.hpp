// Dense row-major tensors: the currency between rooms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace wins {

/// Element types that cross room borders. Half precisions exist only inside packed weights.
enum class DType : std::uint8_t { f32, f64, i64, i32, u8, boolean };

/// Bytes of one element.
std::size_t size_of(DType type);
/// "float32", "int64", ... as numpy spells them.
const char* name_of(DType type);

/// Extents, outermost first. -1 stands for an extent that is not known yet (graph room only).
using Shape = std::vector<std::int64_t>;

/// Product of the extents. Throws `Error` on a negative extent or when the product overflows.
std::int64_t element_count(const Shape& shape);
/// "1x3x224x224"; "scalar" for rank 0; unknown extents print as "?".
std::string to_string(const Shape& shape);

/// Maps C++ types to DType: `dtype_of<float>()`.
template <class T>
constexpr DType dtype_of();
template <> constexpr DType dtype_of<float>() { return DType::f32; }
template <> constexpr DType dtype_of<double>() { return DType::f64; }
template <> constexpr DType dtype_of<std::int64_t>() { return DType::i64; }
template <> constexpr DType dtype_of<std::int32_t>() { return DType::i32; }
template <> constexpr DType dtype_of<std::uint8_t>() { return DType::u8; }
template <> constexpr DType dtype_of<bool>() { return DType::boolean; }

/// Row-major dense array, 64-byte aligned. Copies share storage; the first mutable access to
/// shared storage copies it (so a `Tensor` behaves like a value).
class Tensor {
 public:
  /// Empty: `defined()` is false.
  Tensor() = default;
  /// Zero-filled. Throws `Error` when the extents are negative or the memory cannot be had.
  Tensor(DType dtype, Shape shape);
  /// Copies `values`; throws `Error` when their count does not match the shape.
  template <class T>
  static Tensor of(Shape shape, std::span<const T> values);
  template <class T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    return of<T>(std::move(shape), std::span<const T>(values));
  }
  /// Rank-0 tensor.
  template <class T>
  static Tensor scalar(T value) {
    return of<T>({}, std::span<const T>(&value, 1));
  }

  bool defined() const { return bytes_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(std::size_t axis) const { return shape_.at(axis); }
  std::size_t rank() const { return shape_.size(); }
  std::int64_t size() const { return size_; }
  std::size_t byte_size() const { return static_cast<std::size_t>(size_) * size_of(dtype_); }

  /// Elements; throws `Error` when T is not the tensor's type.
  template <class T>
  std::span<const T> data() const {
    check_type(dtype_of<T>());
    return {reinterpret_cast<const T*>(bytes_.get()), static_cast<std::size_t>(size_)};
  }
  template <class T>
  std::span<T> mutable_data() {
    check_type(dtype_of<T>());
    make_unique();
    return {reinterpret_cast<T*>(bytes_.get()), static_cast<std::size_t>(size_)};
  }
  const std::byte* bytes() const { return bytes_.get(); }
  std::byte* mutable_bytes() {
    make_unique();
    return bytes_.get();
  }

  /// Same elements under another shape; throws `Error` when the counts differ.
  Tensor reshaped(Shape shape) const;
  /// Elements converted with static_cast.
  Tensor cast(DType to) const;

 private:
  void check_type(DType wanted) const;
  void make_unique();

  std::shared_ptr<std::byte[]> bytes_;
  Shape shape_;
  std::int64_t size_ = 0;
  DType dtype_ = DType::f32;
};

/// Deterministic normal(0, stddev) float tensor from a counter-based generator.
Tensor random_normal(const Shape& shape, std::uint64_t seed, float stddev = 1.0F);

/// ||a - b||_2 / ||b||_2 over all elements in double; 0 when both are zero; infinity on NaN.
double relative_l2(const Tensor& a, const Tensor& b);
/// max |a - b| over all elements in double; infinity on NaN.
double max_abs_difference(const Tensor& a, const Tensor& b);

}  // namespace wins
