// Resampling, axis by axis: each output index has a few source indices with weights, and every
// mode of ONNX Resize-19 is separable.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

using graph::Resize;

struct AxisScale {
  std::int64_t in, out;
  double scale;
};

struct Tap {
  std::int64_t source;
  double weight;
};

double source_position(const Resize& op, const AxisScale& axis, std::int64_t index) {
  const auto x = static_cast<double>(index);
  const auto in = static_cast<double>(axis.in);
  const auto out = static_cast<double>(axis.out);
  const double half_pixel = (x + 0.5) / axis.scale - 0.5;
  switch (op.coordinate) {
    case Resize::Coordinate::half_pixel: return half_pixel;
    case Resize::Coordinate::half_pixel_symmetric:
      return in / 2 * (1 - out / (axis.scale * in)) + half_pixel;
    case Resize::Coordinate::pytorch_half_pixel: return axis.out > 1 ? half_pixel : 0;
    case Resize::Coordinate::align_corners: return axis.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case Resize::Coordinate::asymmetric: return x / axis.scale;
  }
  fail("unknown coordinate transformation {}", static_cast<int>(op.coordinate));
}

double round_nearest(Resize::Nearest mode, double x) {
  switch (mode) {
    case Resize::Nearest::round_prefer_floor: return std::ceil(x - 0.5);
    case Resize::Nearest::round_prefer_ceil: return std::floor(x + 0.5);
    case Resize::Nearest::floor: return std::floor(x);
    case Resize::Nearest::ceil: return std::ceil(x);
  }
  fail("unknown rounding {}", static_cast<int>(mode));
}

/// Keys' cubic convolution kernel with parameter a.
double cubic_weight(double a, double distance) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

std::vector<Tap> taps_at(const Resize& op, double position) {
  if (op.mode == Resize::Mode::nearest) {
    return {{static_cast<std::int64_t>(round_nearest(op.nearest, position)), 1.0}};
  }
  const auto base = static_cast<std::int64_t>(std::floor(position));
  const double fraction = position - static_cast<double>(base);
  if (op.mode == Resize::Mode::linear) return {{base, 1 - fraction}, {base + 1, fraction}};
  std::vector<Tap> taps;
  for (std::int64_t i = -1; i <= 2; ++i) {
    taps.push_back({base + i, cubic_weight(static_cast<double>(op.cubic_a), fraction - static_cast<double>(i))});
  }
  return taps;
}

/// Resamples one axis of `x`; indices outside the input read the edge.
template <class T>
Tensor resample(const Resize& op, const Tensor& x, std::size_t axis, const AxisScale& scale) {
  Shape shape = x.shape();
  shape[axis] = scale.out;
  Tensor y(dtype_of<T>(), shape);
  std::int64_t outer = 1;
  for (std::size_t d = 0; d < axis; ++d) outer *= shape[d];
  const std::int64_t inner = x.size() / std::max<std::int64_t>(1, outer * scale.in);
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t index = 0; index < scale.out; ++index) {
    for (const Tap& tap : taps_at(op, source_position(op, scale, index))) {
      const std::int64_t row = std::clamp<std::int64_t>(tap.source, 0, scale.in - 1);
      const T weight = static_cast<T>(tap.weight);
      for (std::int64_t o = 0; o < outer; ++o) {
        const T* from = source + (o * scale.in + row) * inner;
        T* to = target + (o * scale.out + index) * inner;
        for (std::int64_t i = 0; i < inner; ++i) to[i] += weight * from[i];
      }
    }
  }
  return y;
}

/// Extents and scales of all axes, from input 3 (sizes) or input 2 (scales).
std::vector<AxisScale> resolve_scales(const Inputs& inputs, const Shape& shape) {
  const Tensor* scales = optional_input(inputs, 2);
  const Tensor* sizes = optional_input(inputs, 3);
  const bool by_size = sizes != nullptr && sizes->size() > 0;
  require(by_size || (scales != nullptr && scales->size() > 0), "neither scales nor sizes are given");
  const Tensor& given = by_size ? *sizes : *scales;
  require(given.size() == static_cast<std::int64_t>(shape.size()), "{} scales or sizes for rank {}", given.size(),
          shape.size());
  const Tensor values = given.cast(DType::f64);
  std::vector<AxisScale> axes;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const double value = values.data<double>()[d];
    const auto in = static_cast<double>(shape[d]);
    require(value > 0 && shape[d] > 0, "extent {} cannot be resized by {}", shape[d], value);
    // ONNX derives the extent in single precision, so 10 * 0.7 is 7.
    const auto out = static_cast<double>(by_size ? value : std::floor(static_cast<float>(in) * static_cast<float>(value)));
    require(out >= 1 && out < 1e9, "extent {} cannot be resized by {}", shape[d], value);
    axes.push_back({shape[d], static_cast<std::int64_t>(out), by_size ? out / in : value});
  }
  return axes;
}

}  // namespace

template <class T>
Tensor resize(const Resize& op, const Inputs& inputs) {
  Tensor y = required_input(inputs, 0);
  const std::vector<AxisScale> axes = resolve_scales(inputs, y.shape());
  for (std::size_t d = 0; d < axes.size(); ++d) {
    if (axes[d].in == axes[d].out && axes[d].scale == 1.0) continue;
    y = resample<T>(op, y, d, axes[d]);
  }
  return y;
}
template Tensor resize<float>(const Resize&, const Inputs&);
template Tensor resize<double>(const Resize&, const Inputs&);

}  // namespace wins::runtime::ref
