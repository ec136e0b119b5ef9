#include "resize_axis.hpp"

#include <algorithm>
#include <cmath>

namespace wins::runtime::cpu {
namespace {

using graph::Resize;

/// Input 3 (sizes) or else input 2 (scales).
const Tensor* given(const Problem& problem) {
  for (const std::size_t i : {3, 2}) {
    if (i >= problem.node.inputs.size()) continue;
    const Tensor* tensor = problem.constant(i);
    if (tensor != nullptr && tensor->size() > 0) return tensor;
  }
  return nullptr;
}

double position(const Resize& op, const ResizeAxis& axis, double scale, std::int64_t index) {
  const auto x = static_cast<double>(index), in = static_cast<double>(axis.in),
             out = static_cast<double>(axis.out);
  const double half_pixel = (x + 0.5) / scale - 0.5;
  switch (op.coordinate) {
    case Resize::Coordinate::half_pixel_symmetric:
      return in / 2 * (1 - out / (scale * in)) + half_pixel;
    case Resize::Coordinate::pytorch_half_pixel:
      return axis.out > 1 ? half_pixel : 0;
    case Resize::Coordinate::align_corners:
      return axis.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case Resize::Coordinate::asymmetric:
      return x / scale;
    default:
      return half_pixel;
  }
}

double nearest(Resize::Nearest mode, double x) {
  switch (mode) {
    case Resize::Nearest::round_prefer_ceil:
      return std::floor(x + 0.5);
    case Resize::Nearest::floor:
      return std::floor(x);
    case Resize::Nearest::ceil:
      return std::ceil(x);
    default:
      return std::ceil(x - 0.5);
  }
}

/// Keys' kernel with parameter a.
double cubic(double a, double distance) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

void add_element(const Resize& op, double at, ResizeAxis& axis) {
  const auto add = [&](double source, double weight) {
    const auto index = static_cast<std::int64_t>(source);
    axis.source.push_back(std::clamp<std::int64_t>(index, 0, axis.in - 1));  // outside is the edge
    axis.weight.push_back(static_cast<float>(weight));
  };
  if (op.mode == Resize::Mode::nearest) return add(nearest(op.nearest, at), 1);
  const double base = std::floor(at), fraction = at - base;
  if (op.mode == Resize::Mode::linear) {
    add(base, 1 - fraction);
    add(base + 1, fraction);
    return;
  }
  for (int i = -1; i <= 2; ++i) add(base + i, cubic(static_cast<double>(op.cubic_a), fraction - i));
}

ResizeAxis make_axis(const Resize& op, std::int64_t in, std::int64_t out, double scale) {
  ResizeAxis axis;
  axis.in = in;
  axis.out = out;
  axis.identity = in == out && scale == 1.0;
  if (axis.identity) {
    for (std::int64_t i = 0; i < out; ++i) axis.source.push_back(i);
    axis.weight.assign(static_cast<std::size_t>(out), 1.0F);
    return axis;
  }
  axis.count = op.mode == Resize::Mode::nearest ? 1 : op.mode == Resize::Mode::linear ? 2 : 4;
  for (std::int64_t i = 0; i < out; ++i) add_element(op, position(op, axis, scale, i), axis);
  return axis;
}

}  // namespace

std::optional<std::string> refuse_resize_axes(const Problem& problem) {
  if (given(problem) == nullptr) return "sizes are not constant";
  return std::nullopt;
}

std::vector<ResizeAxis> resize_axes(const Problem& problem) {
  const Tensor& tensor = *given(problem);
  const bool by_size = tensor.dtype() != DType::f32;
  const Tensor values = tensor.cast(DType::f64);
  const Shape &x = problem.input_shape(0), &y = problem.output_shape();
  std::vector<ResizeAxis> axes;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = values.data<double>()[i];
    const double scale = by_size ? static_cast<double>(y[i]) / static_cast<double>(x[i]) : value;
    axes.push_back(make_axis(std::get<Resize>(problem.node.op), x[i], y[i], scale));
  }
  return axes;
}

}  // namespace wins::runtime::cpu
