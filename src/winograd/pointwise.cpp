#include "wins/winograd/pointwise.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::winograd {
namespace {

/// Column of G that the middle tap is multiplied by.
int middle_of(const Algorithm& algorithm) {
  require(algorithm.r % 2 == 1 && algorithm.stride == 1, "winograd: a kernel of {} taps with stride {} has no middle for a 1x1 convolution", algorithm.r, algorithm.stride);
  return algorithm.r / 2;
}

}  // namespace

Mask pointwise_mask(const Algorithm& algorithm, std::int64_t filters, std::int64_t channels) {
  const int middle = middle_of(algorithm), p = algorithm.p();
  Mask mask = Mask::full(Axis::row, algorithm.positions(), filters, channels);
  for (int xi = 0; xi < mask.positions; ++xi) {
    const bool reached = algorithm.G(xi / p, middle) != 0 && algorithm.G(xi % p, middle) != 0;
    std::fill_n(mask.keep.begin() + static_cast<std::ptrdiff_t>(xi * filters), filters, static_cast<std::uint8_t>(reached));
  }
  return mask;
}

Tensor transform_pointwise(const Algorithm& algorithm, const Tensor& weights) {
  const int r = algorithm.r, middle = middle_of(algorithm);
  const Shape& shape = weights.shape();
  require(shape.size() == 4 && shape[2] == 1 && shape[3] == 1, "winograd: weights {} are not those of a 1x1 convolution", to_string(shape));
  Tensor taps(DType::f32, {shape[0], shape[1], r, r});
  const auto from = weights.data<float>();
  const auto to = taps.mutable_data<float>();
  for (std::size_t i = 0; i < from.size(); ++i) to[i * static_cast<std::size_t>(r * r) + static_cast<std::size_t>(middle * r + middle)] = from[i];
  return transform_weights(algorithm, taps);
}

Mask join_rows(const Mask& first, const Mask& second) {
  require(first.axis == Axis::row && second.axis == Axis::row, "mask: only rows can be joined");
  require(first.positions == second.positions && first.columns == second.columns, "mask: {} x {} and {} x {} positions and channels cannot be joined", first.positions,
          first.columns, second.positions, second.columns);
  Mask mask{Axis::row, first.positions, first.rows + second.rows, first.columns, {}};
  for (int xi = 0; xi < mask.positions; ++xi) {
    for (const Mask* part : {&first, &second}) {
      const auto begin = part->keep.begin() + static_cast<std::ptrdiff_t>(xi * part->rows);
      mask.keep.insert(mask.keep.end(), begin, begin + static_cast<std::ptrdiff_t>(part->rows));
    }
  }
  return mask;
}

Tensor join_filters(const Tensor& first, const Tensor& second) {
  const Shape &a = first.shape(), &b = second.shape();
  require(a.size() == 3 && b.size() == 3 && a[0] == b[0] && a[2] == b[2], "winograd: weights {} and {} cannot be joined", to_string(a), to_string(b));
  Tensor joined(DType::f32, {a[0], a[1] + b[1], a[2]});
  auto to = joined.mutable_data<float>().begin();
  for (std::int64_t xi = 0; xi < a[0]; ++xi) {
    for (const Tensor* part : {&first, &second}) {
      const auto values = part->data<float>();
      const std::int64_t count = part->dim(1) * part->dim(2);
      to = std::copy_n(values.begin() + xi * count, count, to);
    }
  }
  return joined;
}

}  // namespace wins::winograd
