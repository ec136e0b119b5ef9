#include <fmt/format.h>

#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::graph {
namespace {

constexpr int kKernel = 3;

/// Pads of a stride-1 convolution, auto_pad resolved (it does not depend on the input's size).
std::array<std::int64_t, 4> unit_stride_pads(const Window& window) {
  const std::int64_t reach = kKernel - 1;
  const std::int64_t small = reach / 2;
  switch (window.auto_pad) {
    case AutoPad::none:
      return window.pads;
    case AutoPad::valid:
      return {0, 0, 0, 0};
    case AutoPad::same_upper:
      return {small, small, reach - small, reach - small};
    case AutoPad::same_lower:
      return {reach - small, reach - small, small, small};
  }
  return window.pads;
}

}  // namespace

std::string winograd_refusal(const Graph& graph, const Node& node) {
  const auto* conv = node.as<Conv>();
  if (conv == nullptr) return fmt::format("{} is not a Conv", op_name(node.op));
  const Window& window = conv->window;
  if (window.kernel != std::array<std::int64_t, 2>{kKernel, kKernel}) {
    return fmt::format("kernel {}x{}", window.kernel[0], window.kernel[1]);
  }
  if (window.stride != std::array<std::int64_t, 2>{1, 1}) {
    return fmt::format("stride {}x{}", window.stride[0], window.stride[1]);
  }
  if (window.dilation != std::array<std::int64_t, 2>{1, 1}) {
    return fmt::format("dilation {}x{}", window.dilation[0], window.dilation[1]);
  }
  if (conv->group != 1) return fmt::format("group {}", conv->group);
  for (const std::int64_t pad : unit_stride_pads(window)) {
    if (pad < 0) return fmt::format("negative pad {}", pad);
  }
  const Tensor* weights = graph.constant_input(node, 1);
  if (weights == nullptr) return "weights are not constant";
  if (weights->dtype() != DType::f32) return fmt::format("weights are {}", name_of(weights->dtype()));
  if (weights->rank() != 4 || weights->dim(2) != kKernel || weights->dim(3) != kKernel) {
    return fmt::format("weights are {}", to_string(weights->shape()));
  }
  return {};
}

void to_winograd(Graph& graph, const std::string& node_name, int m) {
  const Node* found = graph.find_node(node_name);
  wins::require(found != nullptr, "there is no node '{}'", node_name);
  const std::string refusal = winograd_refusal(graph, *found);
  wins::require(refusal.empty(), "node '{}' cannot be a WinogradConv: {}", node_name, refusal);
  Node& node = graph.nodes[static_cast<std::size_t>(found - graph.nodes.data())];

  const Conv conv = *node.as<Conv>();
  const winograd::Algorithm& algorithm = winograd::algorithm(m, kKernel);
  const ValueId weights = node.inputs[1];
  Tensor U = winograd::transform_weights(algorithm, *graph.value(weights).constant);
  WinogradConv op;
  op.m = m;
  op.r = kKernel;
  op.pads = unit_stride_pads(conv.window);
  op.mask = winograd::Mask::full(winograd::Axis::row, algorithm.positions(), U.dim(1), U.dim(2));
  op.activation = conv.activation;
  node.op = std::move(op);

  set_constant_input(graph, node_name, 1, std::move(U), node_name + ".U");
}

}  // namespace wins::graph
