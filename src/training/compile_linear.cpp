// Convolutions and matrix products.
#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/matmul.h>

#include "compile.hpp"
#include "winograd_function.hpp"

namespace wins::training {
namespace {

at::Tensor input_at(const std::vector<at::Tensor>& inputs, std::size_t i) {
  return i < inputs.size() ? inputs[i] : at::Tensor();
}

at::Tensor finish(at::Tensor y, const at::Tensor& residual, const graph::Activation& activation) {
  if (residual.defined()) y = y + residual;
  return apply_activation(activation, y);
}

/// {left, right, top, bottom}, as constant_pad_nd wants them.
std::vector<std::int64_t> torch_pads(const std::array<std::int64_t, 4>& pads) {
  return {pads[1], pads[3], pads[0], pads[2]};
}

}  // namespace

Kernel compile(const graph::Conv& op, const Site&) {
  const graph::Window w = op.window;
  const bool symmetric = w.pads[0] == w.pads[2] && w.pads[1] == w.pads[3] && w.pads[0] >= 0 && w.pads[1] >= 0;
  return [=, activation = op.activation, group = op.group](const std::vector<at::Tensor>& in, const Run&) {
    const at::Tensor x = symmetric ? in[0] : at::constant_pad_nd(in[0], torch_pads(w.pads));
    const std::array<std::int64_t, 2> pads =
        symmetric ? std::array{w.pads[0], w.pads[1]} : std::array<std::int64_t, 2>{};
    const at::Tensor y = at::conv2d(x, in[1], input_at(in, 2), w.stride, pads, w.dilation, group);
    return std::vector{finish(y, input_at(in, 3), activation)};
  };
}

Kernel compile(const graph::WinogradConv& op, const Site& site) {
  return [layer = make_winograd_layer(op, site.device), activation = op.activation](
             const std::vector<at::Tensor>& in, const Run&) {
    const at::Tensor y = winograd_conv(layer, in[0], in[1], input_at(in, 2));
    return std::vector{finish(y, input_at(in, 3), activation)};
  };
}

Kernel compile(const graph::ConvTranspose& op, const Site&) {
  // ONNX crops by the pads and extends by output_padding without libtorch's limits on either.
  return [op](const std::vector<at::Tensor>& in, const Run&) {
    const graph::Window& w = op.window;
    at::Tensor y = at::conv_transpose2d(in[0], in[1], {}, w.stride, 0, 0, op.group, w.dilation);
    y = at::constant_pad_nd(
        y, {-w.pads[1], op.output_padding[1] - w.pads[3], -w.pads[0], op.output_padding[0] - w.pads[2]});
    if (input_at(in, 2).defined()) y = y + in[2].view({1, -1, 1, 1});
    return std::vector{y};
  };
}

Kernel compile(const graph::Gemm& op, const Site&) {
  return [op](const std::vector<at::Tensor>& in, const Run&) {
    const at::Tensor a = op.trans_a ? in[0].t() : in[0], b = op.trans_b ? in[1].t() : in[1];
    at::Tensor y = at::matmul(a, b);
    if (op.alpha != 1) y = y * op.alpha;
    if (input_at(in, 2).defined()) y = y + (op.beta == 1 ? in[2] : in[2] * op.beta);
    return std::vector{apply_activation(op.activation, y)};
  };
}

Kernel compile(const graph::MatMul&, const Site&) {
  return [](const std::vector<at::Tensor>& in, const Run&) { return std::vector{at::matmul(in[0], in[1])}; };
}

}  // namespace wins::training
