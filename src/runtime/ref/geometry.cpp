#include "geometry.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

AxisWindow resolve_axis(AxisWindow axis, graph::AutoPad auto_pad, bool ceil_mode) {
  require(axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0,
          "kernel {}, stride {} and dilation {} must be positive", axis.kernel, axis.stride, axis.dilation);
  const std::int64_t span = (axis.kernel - 1) * axis.dilation + 1;
  if (auto_pad == graph::AutoPad::valid) {
    axis.pad_before = axis.pad_after = 0;
    ceil_mode = false;
  }
  if (auto_pad == graph::AutoPad::same_upper || auto_pad == graph::AutoPad::same_lower) {
    axis.out = ceil_divide(axis.in, axis.stride);
    const std::int64_t total = std::max<std::int64_t>(0, (axis.out - 1) * axis.stride + span - axis.in);
    axis.pad_before = auto_pad == graph::AutoPad::same_upper ? total / 2 : total - total / 2;
    axis.pad_after = total - axis.pad_before;
    return axis;
  }
  const std::int64_t room = axis.in + axis.pad_before + axis.pad_after - span;
  require(room >= 0, "window of {} does not fit into {} with padding {} and {}", span, axis.in, axis.pad_before,
          axis.pad_after);
  axis.out = (ceil_mode ? ceil_divide(room, axis.stride) : room / axis.stride) + 1;
  if (ceil_mode && (axis.out - 1) * axis.stride >= axis.in + axis.pad_before) --axis.out;
  return axis;
}

}  // namespace

std::int64_t AxisWindow::first_output(std::int64_t tap) const {
  return std::clamp<std::int64_t>(ceil_divide(pad_before - tap * dilation, stride), 0, out);
}

std::int64_t AxisWindow::end_output(std::int64_t tap) const {
  return std::clamp<std::int64_t>(ceil_divide(in + pad_before - tap * dilation, stride), 0, out);
}

std::array<AxisWindow, 2> resolve_window(const graph::Window& window, std::int64_t height, std::int64_t width,
                                         bool ceil_mode) {
  std::array<AxisWindow, 2> axes;
  const std::array<std::int64_t, 2> extents{height, width};
  for (std::size_t d = 0; d < 2; ++d) {
    AxisWindow axis{extents[d], 0, window.kernel[d], window.stride[d], window.dilation[d], window.pads[d],
                    window.pads[d + 2]};
    axes[d] = resolve_axis(axis, window.auto_pad, ceil_mode);
  }
  return axes;
}

}  // namespace wins::runtime::ref
