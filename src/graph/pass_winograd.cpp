#include <fmt/format.h>

#include <algorithm>

#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::graph {
namespace {

constexpr int kKernel = 3;

/// Extent of spatial axis `i` of a node's first input, -1 when unknown.
std::int64_t input_extent(const Graph& graph, const Node& node, std::size_t i) {
  const auto& shape = graph.value(node.inputs.at(0)).shape;
  return shape && shape->size() == 4 ? (*shape)[i + 2] : -1;
}

bool is_same(AutoPad mode) {
  return mode == AutoPad::same_upper || mode == AutoPad::same_lower;
}

/// Pads that "same" needs in all along axis `i`; with stride 1 they do not depend on the input's size.
std::int64_t same_pads(const Graph& graph, const Node& node, std::size_t i) {
  const Window& window = node.as<Conv>()->window;
  const std::int64_t stride = window.stride[i], reach = window.kernel[i];
  if (stride == 1) return reach - 1;
  const std::int64_t input = input_extent(graph, node, i);
  wins::require(input >= 0, "node '{}': its pads depend on the input's size", node.name);
  return std::max<std::int64_t>(0, (input + stride - 1) / stride * stride - stride + reach - input);
}

/// Why a stride keeps Winograd away; empty when it does not.
std::string stride_refusal(const Graph& graph, const Node& node, bool strided) {
  const Window& window = node.as<Conv>()->window;
  if (window.stride == std::array<std::int64_t, 2>{1, 1}) return {};
  if (!strided || window.stride != std::array<std::int64_t, 2>{2, 2}) {
    return fmt::format("stride {}x{}", window.stride[0], window.stride[1]);
  }
  const bool known = input_extent(graph, node, 0) >= 0 && input_extent(graph, node, 1) >= 0;
  return is_same(window.auto_pad) && !known ? "its pads depend on the input's size" : "";
}

}  // namespace

std::array<std::int64_t, 4> winograd_pads(const Graph& graph, const Node& node) {
  if (const auto* winograd = node.as<WinogradConv>()) return winograd->pads;
  const auto* conv = node.as<Conv>();
  wins::require(conv != nullptr, "node '{}' is not a convolution", node.name);
  const Window& window = conv->window;
  if (window.auto_pad == AutoPad::none) return window.pads;
  std::array<std::int64_t, 4> pads{};
  if (!is_same(window.auto_pad)) return pads;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t all = same_pads(graph, node, i);
    pads[i] = window.auto_pad == AutoPad::same_upper ? all / 2 : all - all / 2;
    pads[i + 2] = all - pads[i];
  }
  return pads;
}

std::string winograd_refusal(const Graph& graph, const Node& node, bool strided) {
  const auto* conv = node.as<Conv>();
  if (conv == nullptr) return fmt::format("{} is not a Conv", op_name(node.op));
  const Window& window = conv->window;
  if (window.kernel != std::array<std::int64_t, 2>{kKernel, kKernel}) {
    return fmt::format("kernel {}x{}", window.kernel[0], window.kernel[1]);
  }
  const std::string stride = stride_refusal(graph, node, strided);
  if (!stride.empty()) return stride;
  if (window.dilation != std::array<std::int64_t, 2>{1, 1}) {
    return fmt::format("dilation {}x{}", window.dilation[0], window.dilation[1]);
  }
  if (conv->group != 1) return fmt::format("group {}", conv->group);
  for (const std::int64_t pad : winograd_pads(graph, node)) {
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
  const std::string refusal = winograd_refusal(graph, *found, true);
  wins::require(refusal.empty(), "node '{}' cannot be a WinogradConv: {}", node_name, refusal);
  Node& node = graph.nodes[static_cast<std::size_t>(found - graph.nodes.data())];

  const Conv conv = *node.as<Conv>();
  const int stride = static_cast<int>(conv.window.stride[0]);
  wins::require(stride == 1 || m == 2, "node '{}' has stride {}: its tile is 2, not {}", node_name, stride, m);
  const winograd::Algorithm& algorithm = winograd::algorithm(m, kKernel, stride);
  const ValueId weights = node.inputs[1];
  Tensor U = winograd::transform_weights(algorithm, *graph.value(weights).constant);
  WinogradConv op;
  op.m = m;
  op.r = kKernel;
  op.stride = stride;
  op.pads = winograd_pads(graph, node);
  op.mask = winograd::Mask::full(winograd::Axis::row, algorithm.positions(), U.dim(1), U.dim(2));
  op.activation = conv.activation;
  node.op = std::move(op);

  set_constant_input(graph, node_name, 1, std::move(U), node_name + ".U");
}

}  // namespace wins::graph
