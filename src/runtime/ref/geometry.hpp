// Where the windows of convolutions and pools lie.
#pragma once

#include <array>
#include <cstdint>

#include "wins/graph/ops.hpp"

namespace wins::runtime::ref {

/// One spatial axis: output position o reads input o * stride - pad_before + tap * dilation.
struct AxisWindow {
  std::int64_t in = 0, out = 0;
  std::int64_t kernel = 1, stride = 1, dilation = 1;
  std::int64_t pad_before = 0, pad_after = 0;

  /// Input index of a tap; may lie outside [0, in).
  std::int64_t source(std::int64_t o, std::int64_t tap) const { return o * stride - pad_before + tap * dilation; }
  /// First output position whose `tap` reads an index >= 0.
  std::int64_t first_output(std::int64_t tap) const;
  /// One past the last output position whose `tap` reads an index < in.
  std::int64_t end_output(std::int64_t tap) const;
};

/// Rows and columns. Resolves auto_pad; with `ceil_mode` the last window may hang over the end but
/// must start inside the input or the padding before it (ONNX MaxPool-22).
/// Throws `Error` when the kernel does not fit or a stride or dilation is not positive.
std::array<AxisWindow, 2> resolve_window(const graph::Window& window, std::int64_t height, std::int64_t width,
                                         bool ceil_mode = false);

}  // namespace wins::runtime::ref
