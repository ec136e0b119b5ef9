// A WinogradConv layer as a differentiable function of its input, U and bias.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <torch/custom_class.h>

#include <array>
#include <cstdint>
#include <vector>

#include "winograd_kernels.hpp"
#include "wins/graph/ops.hpp"

namespace wins::training {

/// What a WinogradConv node fixes: algorithm, padding, which weights live. Shared by the executor
/// and the backward passes that are under way.
struct WinogradLayer : torch::CustomClassHolder {
  const winograd::Algorithm* algorithm = nullptr;
  std::array<std::int64_t, 4> pads{};  ///< top, left, bottom, right
  std::vector<LivePosition> live;
  at::Tensor keep;  ///< 0/1 float mask that broadcasts to U [p*p, K, C]
  // For the form by tensor operations, L = live positions, in float64:
  at::Tensor live_xi;           ///< [L]
  at::Tensor input_transform;   ///< [L, p*p]: V = this times the pixels of a tile
  at::Tensor output_transform;  ///< [m*m, L]: pixels of a tile = this times M
  bool row_mask = true;
  int threads = 1;
};
using WinogradLayerPtr = c10::intrusive_ptr<WinogradLayer>;

/// Threads are those that at::get_num_threads() says now.
WinogradLayerPtr make_winograd_layer(const graph::WinogradConv& op, at::Device device);

/// Y [N, K, H', W'] from X [N, C, H, W], U [p*p, K, C] and bias [K] (may be undefined), in
/// channels-last memory. float32 with stride 1 on the CPU takes winograd_kernels.hpp, everything else ATen
/// operations. Under autocast it computes in autocast's type.
at::Tensor winograd_conv(const WinogradLayerPtr& layer, const at::Tensor& x, const at::Tensor& U,
                         const at::Tensor& bias);

/// The same by plain tensor operations on any device and type; without autograd.
at::Tensor winograd_forward_aten(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                 const at::Tensor& bias);
struct WinogradGradients {
  at::Tensor x, U;  ///< undefined when not wanted
};
WinogradGradients winograd_backward_aten(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                         const at::Tensor& dy, bool want_x, bool want_U);

}  // namespace wins::training
