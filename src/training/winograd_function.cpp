#include "winograd_function.hpp"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace wins::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

WinogradProblem problem_of(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U) {
  WinogradProblem problem;
  problem.algorithm = layer.algorithm;
  problem.batch = x.size(0);
  problem.channels = x.size(1);
  problem.height = x.size(2);
  problem.width = x.size(3);
  problem.filters = U.size(1);
  problem.out_h = problem.height + layer.pads[0] + layer.pads[2] - layer.algorithm->r + 1;
  problem.out_w = problem.width + layer.pads[1] + layer.pads[3] - layer.algorithm->r + 1;
  problem.pad_top = layer.pads[0];
  problem.pad_left = layer.pads[1];
  return problem;
}

/// The kernels are of stride 1.
bool takes_kernels(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U) {
  return layer.algorithm->stride == 1 && x.device().is_cpu() && x.scalar_type() == at::kFloat && U.scalar_type() == at::kFloat;
}

/// [N, H, W, C] in memory; no copy when x is channels-last already.
at::Tensor nhwc(const at::Tensor& x) {
  return x.permute({0, 2, 3, 1}).contiguous();
}

at::Tensor forward_kernels(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                           const at::Tensor& bias) {
  const WinogradProblem problem = problem_of(layer, x, U);
  const at::Tensor in = nhwc(x), weights = U.contiguous();
  const at::Tensor shift = bias.defined() ? bias.contiguous() : bias;
  at::Tensor y = at::empty({problem.batch, problem.out_h, problem.out_w, problem.filters},
                           at::TensorOptions().dtype(at::kFloat));
  winograd_forward(problem, layer.live, layer.threads, in.const_data_ptr<float>(),
                   weights.const_data_ptr<float>(), shift.defined() ? shift.const_data_ptr<float>() : nullptr,
                   y.mutable_data_ptr<float>());
  return y.permute({0, 3, 1, 2});
}

WinogradGradients backward_kernels(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                   const at::Tensor& dy, bool want_x, bool want_U) {
  const WinogradProblem problem = problem_of(layer, x, U);
  const at::Tensor in = nhwc(x), weights = U.contiguous(), gradient = nhwc(dy);
  WinogradGradients gradients;
  if (want_x) gradients.x = at::empty_like(in);
  if (want_U) gradients.U = at::empty_like(weights);
  winograd_backward(problem, layer.live, layer.threads, in.const_data_ptr<float>(),
                    weights.const_data_ptr<float>(), gradient.const_data_ptr<float>(),
                    want_x ? gradients.x.mutable_data_ptr<float>() : nullptr,
                    want_U ? gradients.U.mutable_data_ptr<float>() : nullptr);
  if (want_x) gradients.x = gradients.x.permute({0, 3, 1, 2});
  if (want_U && !layer.row_mask) gradients.U.mul_(layer.keep);
  return gradients;
}

/// Row l, column (y, x): side(y', i) side(x', j) of live position l = (i, j), where side is B (y' the
/// pixel row) or A^T. [L, n * n].
at::Tensor position_matrix(const WinogradLayer& layer, const winograd::Matrix& side) {
  const int p = layer.algorithm->p();
  // B is [pixel, position]; A is [position, pixel].
  const bool by_column = &side == &layer.algorithm->B;
  const int n = by_column ? side.rows : side.cols;
  const auto at = [&](int pixel, int position) {
    return by_column ? side(pixel, position) : side(position, pixel);
  };
  std::vector<double> values;
  for (const LivePosition& position : layer.live) {
    for (int y = 0; y < n; ++y) {
      for (int x = 0; x < n; ++x) values.push_back(at(y, position.xi / p) * at(x, position.xi % p));
    }
  }
  return at::tensor(values, at::kDouble).view({static_cast<std::int64_t>(layer.live.size()), n * n});
}

class WinogradFunction : public torch::autograd::Function<WinogradFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& U,
                            const std::optional<at::Tensor>& optional_bias, const WinogradLayerPtr& layer) {
    const at::Tensor bias = optional_bias.value_or(at::Tensor());
    context->save_for_backward({x, U});
    context->saved_data["layer"] = c10::IValue::make_capsule(layer);
    context->saved_data["bias"] = bias.defined();
    return takes_kernels(*layer, x, U) ? forward_kernels(*layer, x, U, bias)
                               : winograd_forward_aten(*layer, x, U, bias);
  }

  static variable_list backward(AutogradContext* context, variable_list output_gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto layer =
        c10::static_intrusive_pointer_cast<WinogradLayer>(context->saved_data["layer"].toCapsule());
    const at::Tensor& x = saved[0];
    const at::Tensor& U = saved[1];
    const at::Tensor dy = output_gradients[0].to(x.scalar_type());
    const bool want_x = context->needs_input_grad(0), want_U = context->needs_input_grad(1);
    const WinogradGradients gradients = takes_kernels(*layer, x, U)
                                            ? backward_kernels(*layer, x, U, dy, want_x, want_U)
                                            : winograd_backward_aten(*layer, x, U, dy, want_x, want_U);
    at::Tensor bias;
    if (context->saved_data["bias"].toBool()) bias = dy.sum({0, 2, 3}, false, U.scalar_type());
    return {gradients.x, gradients.U, bias, at::Tensor()};
  }
};

}  // namespace

WinogradLayerPtr make_winograd_layer(const graph::WinogradConv& op, at::Device device) {
  auto layer = c10::make_intrusive<WinogradLayer>();
  layer->algorithm = &winograd::algorithm(op.m, op.r, op.stride);
  layer->pads = op.pads;
  layer->live = live_positions(op.mask);
  layer->input_transform = position_matrix(*layer, layer->algorithm->B).to(device);
  layer->output_transform = position_matrix(*layer, layer->algorithm->A).t().contiguous().to(device);
  std::vector<std::int64_t> positions;
  for (const LivePosition& position : layer->live) positions.push_back(position.xi);
  layer->live_xi = at::tensor(positions, at::kLong).to(device);
  const winograd::Mask& mask = op.mask;
  layer->row_mask = mask.axis == winograd::Axis::row;
  std::vector<float> keep(mask.keep.begin(), mask.keep.end());
  std::vector<std::int64_t> shape = {mask.positions, mask.rows, mask.columns};
  if (mask.axis == winograd::Axis::row) shape[2] = 1;
  if (mask.axis == winograd::Axis::column) shape[1] = 1;
  layer->keep = at::tensor(keep).view(shape).to(device);
  layer->threads = at::get_num_threads();
  return layer;
}

at::Tensor winograd_conv(const WinogradLayerPtr& layer, const at::Tensor& x, const at::Tensor& U,
                         const at::Tensor& bias) {
  at::Tensor input = x;
  if (at::autocast::is_autocast_enabled(x.device().type())) {
    input = x.to(at::autocast::get_autocast_dtype(x.device().type()));
  }
  return WinogradFunction::apply(input, U, bias.defined() ? std::optional(bias) : std::nullopt, layer);
}

}  // namespace wins::training
