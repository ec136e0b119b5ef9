#include "broadcast.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::runtime::ref {

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    require(x == y || x == 1 || y == 1, "shapes {} and {} do not broadcast", to_string(a), to_string(b));
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

std::vector<std::int64_t> broadcast_strides(const Shape& shape, const Shape& out) {
  require(shape.size() <= out.size(), "shape {} does not broadcast to {}", to_string(shape), to_string(out));
  std::vector<std::int64_t> strides(out.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t extent = shape[shape.size() - 1 - i];
    const std::size_t axis = out.size() - 1 - i;
    require(extent == out[axis] || extent == 1, "shape {} does not broadcast to {}", to_string(shape),
            to_string(out));
    if (extent != 1) strides[axis] = stride;
    stride *= extent;
  }
  return strides;
}

}  // namespace wins::runtime::ref
