#include "winograd_problem.hpp"

#include "wins/graph/passes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {

WinogradProblem winograd_problem(const Problem& problem, int m) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) return {conv->m, conv->stride, conv->pads, conv->mask, conv->activation};
  const auto* conv = problem.node.as<graph::Conv>();
  const Shape& weights = problem.input_shape(1);
  const int positions = winograd::algorithm(m, 3).positions();
  return {m, 1, conv->window.pads, winograd::Mask::full(winograd::Axis::row, positions, weights[0], weights[1]), conv->activation};
}

std::optional<std::string> refuse_rows(const Problem& problem) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) {
    if (conv->mask.axis != winograd::Axis::row) return "the mask is not of rows";
  } else {
    if (!problem.env.options.winograd) return "Winograd is off";
    const std::string reason = graph::winograd_refusal(problem.env.graph, problem.node);
    if (!reason.empty()) return reason;
  }
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  for (const Layout& layout : {problem.inputs[0], problem.outputs[0]}) {
    if (extent_of(layout) * problem.env.element_bytes() >= INT32_MAX) return "2 GB or more";
    if (extent_of(layout) == 0) return "empty";
  }
  return std::nullopt;
}

std::optional<std::string> refuse_pool(const Problem& problem) {
  if (problem.max_pool == nullptr) return std::nullopt;
  using Pair = std::array<std::int64_t, 2>;
  const graph::Window& window = problem.max_pool->as<graph::Pool>()->window;
  const Shape &before = problem.output_shape(), &out = problem.outputs[0].shape;
  // The last condition is one of ceil_mode: a window must not reach beyond the edge.
  if (window.kernel != Pair{2, 2} || window.stride != Pair{2, 2} || window.dilation != Pair{1, 1} || window.pads != std::array<std::int64_t, 4>{} ||
      out[2] != before[2] / 2 || out[3] != before[3] / 2) {
    return "pools other than 2x2 with stride 2, inside the picture";
  }
  const auto* pruned = problem.node.as<graph::WinogradConv>();
  // Others are steps of their own, behind what is written.
  if (!in_epilogue(pruned != nullptr ? pruned->activation.kind : problem.node.as<graph::Conv>()->activation.kind)) return "activation that no epilogue has, before a pool";
  return std::nullopt;
}

Tensor winograd_weights(const Problem& problem, int m) {
  const Tensor& weights = *problem.constant(1);
  return problem.node.as<graph::Conv>() != nullptr ? winograd::transform_weights(winograd::algorithm(m, 3), weights) : weights;
}

}  // namespace wins::runtime::cuda
