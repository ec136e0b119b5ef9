// Max and average pooling, windowed and global.
#include <algorithm>
#include <cmath>
#include <limits>

#include "geometry.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

using Kind = graph::Pool::Kind;

/// Sum or maximum of one window, and how many taps it had.
template <class T>
struct Window {
  T value;
  std::int64_t inside = 0;  ///< taps in the input
  std::int64_t padded = 0;  ///< taps in the input or its padding
};

template <class T>
Window<T> gather(Kind kind, const AxisWindow& rows, const AxisWindow& cols, const T* plane, std::int64_t oy,
                 std::int64_t ox) {
  Window<T> result{kind == Kind::max ? -std::numeric_limits<T>::infinity() : T(0)};
  for (std::int64_t ky = 0; ky < rows.kernel; ++ky) {
    for (std::int64_t kx = 0; kx < cols.kernel; ++kx) {
      const std::int64_t y = rows.source(oy, ky);
      const std::int64_t x = cols.source(ox, kx);
      // With ceil_mode a window may reach beyond the padding: those taps never count.
      if (y < rows.in + rows.pad_after && x < cols.in + cols.pad_after) ++result.padded;
      if (y < 0 || y >= rows.in || x < 0 || x >= cols.in) continue;
      ++result.inside;
      const T value = plane[y * cols.in + x];
      // A NaN in the window wins, wherever it is.
      if (kind == Kind::average) result.value += value;
      else if (!(value <= result.value) && !std::isnan(result.value)) result.value = value;
    }
  }
  return result;
}

}  // namespace

template <class T>
Tensor pool(const graph::Pool& op, const Inputs& inputs) {
  const Tensor& x = input_of_rank(inputs, 0, 4);
  const auto [rows, cols] = resolve_window(op.window, x.dim(2), x.dim(3), op.ceil_mode);
  Tensor y(dtype_of<T>(), {x.dim(0), x.dim(1), rows.out, cols.out});
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t plane = 0; plane < x.dim(0) * x.dim(1); ++plane) {
    for (std::int64_t oy = 0; oy < rows.out; ++oy) {
      for (std::int64_t ox = 0; ox < cols.out; ++ox) {
        const Window<T> window = gather(op.kind, rows, cols, source + plane * rows.in * cols.in, oy, ox);
        const std::int64_t count = op.count_include_pad ? window.padded : window.inside;
        T value = window.value;
        if (op.kind == Kind::average) value /= static_cast<T>(std::max<std::int64_t>(1, count));
        target[(plane * rows.out + oy) * cols.out + ox] = value;
      }
    }
  }
  return y;
}
template Tensor pool<float>(const graph::Pool&, const Inputs&);
template Tensor pool<double>(const graph::Pool&, const Inputs&);

template <class T>
Tensor global_pool(const graph::GlobalPool& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  require(x.rank() >= 3, "input 0 has shape {}, rank 3 or more was expected", to_string(x.shape()));
  Shape shape(x.rank(), 1);
  shape[0] = x.dim(0);
  shape[1] = x.dim(1);
  Tensor y(dtype_of<T>(), shape);
  const std::int64_t plane = x.size() / std::max<std::int64_t>(1, y.size());
  require(plane > 0, "input 0 of shape {} has empty planes", to_string(x.shape()));
  const T* source = x.data<T>().data();
  for (T& target : y.mutable_data<T>()) {
    T value = op.kind == Kind::max ? source[0] : T(0);
    for (std::int64_t i = 0; i < plane; ++i) {
      value = op.kind == Kind::max ? (source[i] <= value ? value : source[i]) : value + source[i];
    }
    target = op.kind == Kind::max ? value : value / static_cast<T>(plane);
    source += plane;
  }
  return y;
}
template Tensor global_pool<float>(const graph::GlobalPool&, const Inputs&);
template Tensor global_pool<double>(const graph::GlobalPool&, const Inputs&);

}  // namespace wins::runtime::ref
