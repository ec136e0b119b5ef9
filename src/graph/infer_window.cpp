// Convolutions and pools: windows that slide over the two spatial axes.
#include <algorithm>

#include "infer.hpp"

namespace wins::graph {
namespace {

/// One spatial axis of a window.
struct WindowAxis {
  std::int64_t input = -1;
  std::int64_t kernel = 1, stride = 1, dilation = 1;
  std::int64_t begin = 0, end = 0;
  std::int64_t reach() const { return (kernel - 1) * dilation + 1; }
};

WindowAxis axis_of(const Window& window, std::size_t axis, std::int64_t input) {
  return {input,
          window.kernel[axis],
          window.stride[axis],
          window.dilation[axis],
          window.pads[axis],
          window.pads[axis + 2]};
}

void check_window(const Window& window, const InferContext& context) {
  for (std::size_t i = 0; i < 2; ++i) {
    for (const std::int64_t value : {window.kernel[i], window.stride[i], window.dilation[i]}) {
      context.require(value >= 1 && value <= kMaxWindow, "kernel, stride or dilation {} is out of range",
                      value);
    }
  }
  for (const std::int64_t pad : window.pads) {
    context.require(pad >= -kMaxWindow && pad <= kMaxWindow, "pad {} is out of range", pad);
  }
}

/// Pads of SAME_UPPER, SAME_LOWER and VALID (ONNX, Conv and pools); `none` keeps what stands there.
void resolve_auto_pad(AutoPad mode, WindowAxis& axis) {
  if (mode == AutoPad::none) return;
  axis.begin = axis.end = 0;
  if (mode == AutoPad::valid) return;
  const std::int64_t output = (axis.input + axis.stride - 1) / axis.stride;
  const std::int64_t total =
      std::max<std::int64_t>(0, (output - 1) * axis.stride + axis.reach() - axis.input);
  const std::int64_t small = total / 2;
  axis.begin = mode == AutoPad::same_upper ? small : total - small;
  axis.end = total - axis.begin;
}

std::int64_t output_extent(WindowAxis axis, AutoPad mode, bool ceil_mode, const InferContext& context) {
  if (axis.input < 0) return -1;
  resolve_auto_pad(mode, axis);
  const std::int64_t room = axis.input + axis.begin + axis.end - axis.reach();
  context.require(room >= 0, "a window of {} (dilation {}) does not fit into {} padded by {} and {}",
                  axis.kernel, axis.dilation, axis.input, axis.begin, axis.end);
  if (!ceil_mode || mode != AutoPad::none) return room / axis.stride + 1;
  std::int64_t output = (room + axis.stride - 1) / axis.stride + 1;
  // The last window must start inside the input or the leading padding.
  if ((output - 1) * axis.stride >= axis.input + axis.begin) --output;
  return output;
}

wins::Shape slide(const Window& window, bool ceil_mode, const wins::Shape& x, const InferContext& context) {
  wins::Shape result = {x[0], x[1]};
  for (std::size_t i = 0; i < 2; ++i) {
    result.push_back(output_extent(axis_of(window, i, x[i + 2]), window.auto_pad, ceil_mode, context));
  }
  return result;
}

/// Input 0 as rank 4, unknown extents when its rank is unknown.
wins::Shape image(const InferContext& context) {
  context.require_float(0);
  context.require_rank(0, 4);
  return context.shape(0).value_or(wins::Shape{-1, -1, -1, -1});
}

/// Shape of the weights in input 1, checked against the rank.
wins::Shape weights(const InferContext& context, std::size_t rank) {
  context.require(context.dtype(1) == context.dtype(0), "the weights are {}, the input is {}",
                  name_of(context.dtype(1)), name_of(context.dtype(0)));
  context.require_rank(1, rank);
  return context.shape(1).value_or(wins::Shape(rank, -1));
}

void check_kernel(const Window& window, const wins::Shape& w, const InferContext& context) {
  for (std::size_t i = 0; i < 2; ++i) context.merge(w[i + 2], window.kernel[i], "kernel and weight extents");
}

void check_bias(const InferContext& context, std::int64_t channels) {
  if (!context.has(2)) return;
  context.require_rank(2, 1);
  if (context.shape(2)) context.merge(context.shape(2)->front(), channels, "bias length and output channels");
}

void check_residual(const InferContext& context, wins::Shape& output) {
  if (!context.has(3) || !context.shape(3)) return;
  context.require_rank(3, 4);
  for (std::size_t i = 0; i < 4; ++i) {
    output[i] = context.merge(output[i], (*context.shape(3))[i], "extents of output and residual");
  }
}

std::int64_t times(std::int64_t extent, std::int64_t factor) {
  return extent < 0 ? -1 : extent * factor;
}

void check_group(std::int64_t group, const InferContext& context) {
  context.require(group >= 1 && group <= kMaxWindow, "group {} is out of range", group);
}

/// Natural extent of a transposed convolution before pads are taken away.
std::int64_t full_extent(const WindowAxis& axis, std::int64_t output_padding) {
  return (axis.input - 1) * axis.stride + output_padding + axis.reach();
}

/// Output extent that output_shape or SAME_* ask for; -1 when the pads decide.
std::int64_t wanted_extent(const ConvTranspose& op, std::size_t axis, std::int64_t input) {
  if (!op.output_shape.empty()) return op.output_shape[axis];
  const bool same = op.window.auto_pad == AutoPad::same_upper || op.window.auto_pad == AutoPad::same_lower;
  return same ? input * op.window.stride[axis] : -1;
}

void check_transpose(const ConvTranspose& op, const InferContext& context) {
  check_window(op.window, context);
  check_group(op.group, context);
  context.require(op.output_shape.empty() || op.output_shape.size() == 2,
                  "output_shape has {} extents, not 2", op.output_shape.size());
  for (const std::int64_t extent : op.output_shape) {
    context.require(extent >= 1 && extent <= kMaxExtent, "output_shape {} is out of range", extent);
  }
  for (const std::int64_t pad : op.output_padding) {
    context.require(pad >= 0 && pad <= kMaxWindow, "output_padding {} is out of range", pad);
  }
}

void resolve(Window& window, const wins::Shape& x) {
  for (std::size_t i = 0; i < 2; ++i) {
    WindowAxis axis = axis_of(window, i, x[i + 2]);
    resolve_auto_pad(window.auto_pad, axis);
    window.pads[i] = axis.begin;
    window.pads[i + 2] = axis.end;
  }
  window.auto_pad = AutoPad::none;
}

void resolve(ConvTranspose& op, const wins::Shape& x) {
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t wanted = wanted_extent(op, i, x[i + 2]);
    if (wanted >= 0) {
      const std::int64_t total = full_extent(axis_of(op.window, i, x[i + 2]), op.output_padding[i]) - wanted;
      // Asked for more than there is: the surplus at the end holds the bias alone.
      if (total < 0) op.output_padding[i] -= total;
      const std::int64_t pads = std::max<std::int64_t>(total, 0);
      const std::int64_t small = pads / 2;
      op.window.pads[i] = op.window.auto_pad == AutoPad::same_upper ? small : pads - small;
      op.window.pads[i + 2] = pads - op.window.pads[i];
    } else if (op.window.auto_pad == AutoPad::valid) {
      op.window.pads[i] = op.window.pads[i + 2] = 0;
    }
  }
  op.output_shape.clear();
  op.window.auto_pad = AutoPad::none;
}

}  // namespace

Inferred infer(const Conv& op, const InferContext& context) {
  check_window(op.window, context);
  check_group(op.group, context);
  const wins::Shape x = image(context);
  const wins::Shape w = weights(context, 4);
  check_kernel(op.window, w, context);
  context.merge(x[1], times(w[1], op.group), "input channels and weight channels");
  context.require(w[0] < 0 || w[0] % op.group == 0, "{} output channels do not split into {} groups", w[0],
                  op.group);
  check_bias(context, w[0]);
  wins::Shape output = slide(op.window, false, x, context);
  output[1] = w[0];
  check_residual(context, output);
  return single(context.dtype(0), output);
}

Inferred infer(const WinogradConv& op, const InferContext& context) {
  const bool supported = op.stride == 1 ? op.m >= 1 && op.r >= 1 && op.m + op.r - 1 <= 10
                                        : op.stride == 2 && op.m == 2 && op.r == 3;
  context.require(supported, "F({}, {}) with stride {} is not supported", op.m, op.r, op.stride);
  const wins::Shape x = image(context);
  const wins::Shape u = weights(context, 3);
  const std::int64_t p = (op.m - 1) * op.stride + op.r;
  context.merge(u[0], p * p, "positions of U and p * p");
  context.merge(x[1], u[2], "input channels and channels of U");
  check_bias(context, u[1]);
  Window window;
  window.kernel = {op.r, op.r};
  window.stride = {op.stride, op.stride};
  window.pads = op.pads;
  check_window(window, context);
  const winograd::Mask& mask = op.mask;
  context.require(
      mask.positions == p * p && (u[1] < 0 || mask.rows == u[1]) && (u[2] < 0 || mask.columns == u[2]),
      "the mask is for {} positions, {} rows, {} columns; U is {}", mask.positions, mask.rows, mask.columns,
      to_string(u));
  context.require(mask.rows <= kMaxWindow && mask.columns <= kMaxWindow, "the mask is too large");
  context.require(mask.keep.size() == static_cast<std::size_t>(mask.positions * mask.units()),
                  "the mask has {} entries, not {}", mask.keep.size(), mask.positions * mask.units());
  wins::Shape output = slide(window, false, x, context);
  output[1] = u[1];
  check_residual(context, output);
  return single(context.dtype(0), output);
}

Inferred infer(const ConvTranspose& op, const InferContext& context) {
  check_transpose(op, context);
  const wins::Shape x = image(context);
  const wins::Shape w = weights(context, 4);
  check_kernel(op.window, w, context);
  context.merge(x[1], w[0], "input channels and weight channels");
  context.require(w[0] < 0 || w[0] % op.group == 0, "{} input channels do not split into {} groups", w[0],
                  op.group);
  const std::int64_t channels = times(w[1], op.group);
  check_bias(context, channels);
  wins::Shape output = {x[0], channels};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t input = x[i + 2];
    if (input < 0) {
      output.push_back(op.output_shape.empty() ? -1 : op.output_shape[i]);
      continue;
    }
    ConvTranspose resolved = op;
    resolve(resolved, x);
    const WindowAxis axis = axis_of(resolved.window, i, input);
    const std::int64_t extent = full_extent(axis, resolved.output_padding[i]) - axis.begin - axis.end;
    context.require(input > 0 && extent > 0, "an input extent of {} gives an output extent of {}", input,
                    extent);
    output.push_back(extent);
  }
  return single(context.dtype(0), output);
}

Inferred infer(const Pool& op, const InferContext& context) {
  check_window(op.window, context);
  const wins::Shape x = image(context);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::int64_t reach = axis_of(op.window, i % 2, -1).reach();
    context.require(op.window.pads[i] >= 0 && op.window.pads[i] < reach, "pad {} does not fit a window of {}",
                    op.window.pads[i], reach);
  }
  return single(context.dtype(0), slide(op.window, op.ceil_mode, x, context));
}

Inferred infer(const GlobalPool&, const InferContext& context) {
  context.require_float(0);
  if (!context.shape(0)) return single(context.dtype(0), {});
  wins::Shape output = *context.shape(0);
  context.require(output.size() >= 3, "input must have spatial axes, has shape {}", to_string(output));
  std::fill(output.begin() + 2, output.end(), 1);
  return single(context.dtype(0), output);
}

void resolve_window(Op& op, const InferContext& context) {
  if (auto* conv = std::get_if<Conv>(&op)) resolve(conv->window, *context.shape(0));
  if (auto* transpose = std::get_if<ConvTranspose>(&op)) resolve(*transpose, *context.shape(0));
  if (auto* pool = std::get_if<Pool>(&op)) {
    // SAME and VALID ignore ceil_mode; explicit pads would not.
    if (pool->window.auto_pad != AutoPad::none) pool->ceil_mode = false;
    resolve(pool->window, *context.shape(0));
  }
}

}  // namespace wins::graph
