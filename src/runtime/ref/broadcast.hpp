// Numpy broadcasting (ONNX "multidirectional").
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"

namespace wins::runtime::ref {

/// Shape of the result; throws `Error` when the operands do not broadcast.
Shape broadcast_shape(const Shape& a, const Shape& b);

/// Element strides of a row-major tensor of `shape` along the axes of `out`, 0 where it repeats.
/// Throws `Error` when `shape` does not broadcast to `out`.
std::vector<std::int64_t> broadcast_strides(const Shape& shape, const Shape& out);

/// Calls body(out_index, a_index, b_index) for each element of `out` in order.
template <class Body>
void for_each_broadcast(const Shape& out, const std::vector<std::int64_t>& a_strides,
                        const std::vector<std::int64_t>& b_strides, const Body& body) {
  const std::int64_t count = element_count(out);
  Shape position(out.size(), 0);
  std::int64_t a = 0;
  std::int64_t b = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    body(i, a, b);
    for (std::size_t d = out.size(); d-- > 0;) {
      a += a_strides[d];
      b += b_strides[d];
      if (++position[d] < out[d]) break;
      a -= a_strides[d] * out[d];
      b -= b_strides[d] * out[d];
      position[d] = 0;
    }
  }
}

}  // namespace wins::runtime::ref
