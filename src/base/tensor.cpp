#include "wins/base/tensor.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// From this size on huge pages pay, of which the last one is wasted in part: filling small ones
/// takes longer than copying a large tensor.
constexpr std::size_t kLarge = 4 * kHugePage;

std::shared_ptr<std::byte[]> allocate(std::size_t bytes) {
  const std::align_val_t alignment{bytes >= kLarge ? kHugePage : kAlignment};
  // One spare cache line lets kernels read a full vector at the end of a tensor.
  void* memory = ::operator new(bytes + 64, alignment, std::nothrow);
  require(memory != nullptr, "out of memory: cannot allocate {} bytes for a tensor", bytes);
  if (bytes >= kLarge) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: failing changes nothing
  return {static_cast<std::byte*>(memory), [alignment](std::byte* p) { ::operator delete(p, alignment); }};
}

template <class F>
auto visit_dtype(DType type, F&& f) {
  switch (type) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::i64: return f(std::int64_t{});
    case DType::i32: return f(std::int32_t{});
    case DType::u8: return f(std::uint8_t{});
    case DType::boolean: return f(bool{});
  }
  fail("internal: unknown element type {}", static_cast<int>(type));
}

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;

/// Finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// Sum of the four 16-bit quarters.
std::int64_t quarters(std::uint64_t bits) {
  const std::uint64_t pairs = (bits & 0x0000FFFF0000FFFFULL) + ((bits >> 16) & 0x0000FFFF0000FFFFULL);
  return static_cast<std::int64_t>((pairs & 0xFFFFFFFFULL) + (pairs >> 32));
}

/// Standard normal deviate without library functions, so that every machine gives the same: the
/// sum of eight 16-bit uniforms, with the Cornish-Fisher correction of its kurtosis (-6 / (5 * 8)).
double normal_deviate(std::uint64_t counter) {
  const std::int64_t sum = quarters(mix(counter)) + quarters(mix(counter + kGolden));
  // Mean 8 * 65535 / 2; variance 8 * (65536^2 - 1) / 12, whose root is this divisor.
  const double y = static_cast<double>(sum - 4 * 65535) * (1.0 / 53509.919921);
  return y + (0.15 / 24.0) * y * (y * y - 3.0);
}

}  // namespace

std::size_t size_of(DType type) {
  return visit_dtype(type, [](auto v) { return sizeof(v); });
}

const char* name_of(DType type) {
  switch (type) {
    case DType::f32: return "float32";
    case DType::f64: return "float64";
    case DType::i64: return "int64";
    case DType::i32: return "int32";
    case DType::u8: return "uint8";
    case DType::boolean: return "bool";
  }
  return "unknown";
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    require(extent >= 0, "shape {} has a negative or unknown extent", to_string(shape));
    require(!__builtin_mul_overflow(count, extent, &count), "shape {} is too large", to_string(shape));
  }
  return count;
}

std::string to_string(const Shape& shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const std::int64_t extent : shape) {
    if (!text.empty()) text += 'x';
    text += extent < 0 ? "?" : std::to_string(extent);
  }
  return text;
}

Tensor::Tensor(DType dtype, Shape shape)
    : shape_(std::move(shape)), size_(element_count(shape_)), dtype_(dtype) {
  require(size_ < std::numeric_limits<std::int64_t>::max() / 16, "shape {} is too large",
          to_string(shape_));
  bytes_ = allocate(byte_size());
  std::memset(bytes_.get(), 0, byte_size());
}

template <class T>
Tensor Tensor::of(Shape shape, std::span<const T> values) {
  Tensor tensor(dtype_of<T>(), std::move(shape));
  require(tensor.size() == static_cast<std::int64_t>(values.size()),
          "shape {} needs {} values, got {}", to_string(tensor.shape()), tensor.size(), values.size());
  if (!values.empty()) std::memcpy(tensor.bytes_.get(), values.data(), values.size_bytes());
  return tensor;
}
template Tensor Tensor::of<float>(Shape, std::span<const float>);
template Tensor Tensor::of<double>(Shape, std::span<const double>);
template Tensor Tensor::of<std::int64_t>(Shape, std::span<const std::int64_t>);
template Tensor Tensor::of<std::int32_t>(Shape, std::span<const std::int32_t>);
template Tensor Tensor::of<std::uint8_t>(Shape, std::span<const std::uint8_t>);
template Tensor Tensor::of<bool>(Shape, std::span<const bool>);

Tensor Tensor::reshaped(Shape shape) const {
  require(element_count(shape) == size_, "cannot reshape {} to {}", to_string(shape_), to_string(shape));
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

Tensor Tensor::cast(DType to) const {
  if (to == dtype_) return *this;
  Tensor result(to, shape_);
  visit_dtype(dtype_, [&](auto from) {
    const auto source = data<decltype(from)>();
    visit_dtype(to, [&](auto target) {
      const auto destination = result.mutable_data<decltype(target)>();
      for (std::size_t i = 0; i < source.size(); ++i) {
        destination[i] = static_cast<decltype(target)>(source[i]);
      }
    });
  });
  return result;
}

void Tensor::check_type(DType wanted) const {
  require(wanted == dtype_, "internal: tensor holds {}, asked for {}", name_of(dtype_), name_of(wanted));
}

void Tensor::make_unique() {
  if (bytes_ == nullptr || bytes_.use_count() == 1) return;
  auto copy = allocate(byte_size());
  std::memcpy(copy.get(), bytes_.get(), byte_size());
  bytes_ = std::move(copy);
}

Tensor random_normal(const Shape& shape, std::uint64_t seed, float stddev) {
  Tensor tensor(DType::f32, shape);
  const auto values = tensor.mutable_data<float>();
  const std::uint64_t key = mix(seed + 1);
  constexpr std::size_t kChunk = std::size_t{1} << 18;
  const std::size_t chunks = (values.size() + kChunk - 1) / kChunk;
  parallel_for(static_cast<std::int64_t>(chunks), default_threads(), [&](std::int64_t chunk, int) {
    const std::size_t first = static_cast<std::size_t>(chunk) * kChunk;
    for (std::size_t i = first; i < std::min(first + kChunk, values.size()); ++i) {
      values[i] = static_cast<float>(normal_deviate(key + 2 * i * kGolden) * stddev);
    }
  });
  return tensor;
}

double relative_l2(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), "cannot compare {} with {}", to_string(a.shape()), to_string(b.shape()));
  const Tensor x = a.cast(DType::f64);
  const Tensor y = b.cast(DType::f64);
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < x.data<double>().size(); ++i) {
    const double d = x.data<double>()[i] - y.data<double>()[i];
    difference += d * d;
    norm += y.data<double>()[i] * y.data<double>()[i];
  }
  if (std::isnan(difference) || std::isnan(norm)) return std::numeric_limits<double>::infinity();
  if (difference == 0) return 0;
  return norm == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(difference / norm);
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape(), "cannot compare {} with {}", to_string(a.shape()), to_string(b.shape()));
  const Tensor x = a.cast(DType::f64);
  const Tensor y = b.cast(DType::f64);
  double worst = 0;
  for (std::size_t i = 0; i < x.data<double>().size(); ++i) {
    const double d = std::abs(x.data<double>()[i] - y.data<double>()[i]);
    if (std::isnan(d)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, d);
  }
  return worst;
}

}  // namespace wins
