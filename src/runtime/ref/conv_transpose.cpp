// Transposed convolution: every input pixel adds its scaled kernel to the output.
#include <algorithm>
#include <array>

#include "epilogue.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::ref {
namespace {

/// One spatial axis: input i with tap t adds to output i * stride - pad_before + t * dilation.
struct Spread {
  std::int64_t in, out, kernel, stride, dilation, pad_before;
};

Spread resolve_axis(const graph::ConvTranspose& op, std::size_t d, std::int64_t in) {
  const graph::Window& window = op.window;
  Spread axis{in, 0, window.kernel[d], window.stride[d], window.dilation[d], window.pads[d]};
  require(axis.kernel > 0 && axis.stride > 0 && axis.dilation > 0,
          "kernel {}, stride {} and dilation {} must be positive", axis.kernel, axis.stride, axis.dilation);
  // The output without padding; ONNX ConvTranspose-22 derives the rest from it.
  const std::int64_t full = axis.stride * (in - 1) + op.output_padding[d] + (axis.kernel - 1) * axis.dilation + 1;
  const bool same = window.auto_pad == graph::AutoPad::same_upper || window.auto_pad == graph::AutoPad::same_lower;
  if (op.output_shape.empty() && !same) {
    const bool valid = window.auto_pad == graph::AutoPad::valid;
    if (valid) axis.pad_before = 0;
    axis.out = full - axis.pad_before - (valid ? 0 : window.pads[d + 2]);
  } else {
    axis.out = op.output_shape.empty() ? in * axis.stride : op.output_shape[d];
    const std::int64_t total = std::max<std::int64_t>(0, full - axis.out);
    axis.pad_before = window.auto_pad == graph::AutoPad::same_upper ? total / 2 : total - total / 2;
  }
  require(axis.out > 0, "the output would have {} rows or columns", axis.out);
  return axis;
}

template <class T>
void add_channel(const Spread& rows, const Spread& cols, const T* x, const T* w, T* y) {
  for (std::int64_t iy = 0; iy < rows.in; ++iy) {
    for (std::int64_t ky = 0; ky < rows.kernel; ++ky) {
      const std::int64_t oy = iy * rows.stride - rows.pad_before + ky * rows.dilation;
      if (oy < 0 || oy >= rows.out) continue;
      for (std::int64_t kx = 0; kx < cols.kernel; ++kx) {
        const T weight = w[ky * cols.kernel + kx];
        for (std::int64_t ix = 0; ix < cols.in; ++ix) {
          const std::int64_t ox = ix * cols.stride - cols.pad_before + kx * cols.dilation;
          if (ox >= 0 && ox < cols.out) y[oy * cols.out + ox] += weight * x[iy * cols.in + ix];
        }
      }
    }
  }
}

}  // namespace

template <class T>
Tensor conv_transpose(const graph::ConvTranspose& op, const Inputs& inputs) {
  const Tensor& x = input_of_rank(inputs, 0, 4);
  const Tensor& w = input_of_rank(inputs, 1, 4);
  require(op.group > 0 && w.dim(0) == x.dim(1) && w.dim(0) % op.group == 0,
          "weights {} with {} groups do not fit input {}", to_string(w.shape()), op.group, to_string(x.shape()));
  require(w.dim(2) == op.window.kernel[0] && w.dim(3) == op.window.kernel[1],
          "weights {} do not have the kernel {}x{}", to_string(w.shape()), op.window.kernel[0], op.window.kernel[1]);
  require(op.output_shape.empty() || op.output_shape.size() == 2, "output_shape has {} extents, 2 were expected",
          op.output_shape.size());
  const Spread rows = resolve_axis(op, 0, x.dim(2));
  const Spread cols = resolve_axis(op, 1, x.dim(3));
  const std::int64_t group_filters = w.dim(1);
  const std::int64_t filters = group_filters * op.group;
  const std::int64_t group_channels = x.dim(1) / op.group;

  Tensor y(dtype_of<T>(), {x.dim(0), filters, rows.out, cols.out});
  const Epilogue<T> epilogue({}, inputs, y.shape());
  const T* source = x.data<T>().data();
  const T* weights = w.data<T>().data();
  T* target = y.mutable_data<T>().data();
  parallel_for(x.dim(0) * filters, default_threads(), [&](std::int64_t plane, int) {
    const std::int64_t n = plane / filters;
    const std::int64_t k = plane % filters;
    T* out = target + plane * rows.out * cols.out;
    for (std::int64_t i = 0; i < group_channels; ++i) {
      const std::int64_t c = k / group_filters * group_channels + i;
      add_channel(rows, cols, source + (n * x.dim(1) + c) * rows.in * cols.in,
                  weights + (c * group_filters + k % group_filters) * rows.kernel * cols.kernel, out);
    }
    epilogue.apply(out, plane, k);
  });
  return y;
}

template Tensor conv_transpose<float>(const graph::ConvTranspose&, const Inputs&);
template Tensor conv_transpose<double>(const graph::ConvTranspose&, const Inputs&);

}  // namespace wins::runtime::ref
