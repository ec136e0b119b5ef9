#include "winograd_problem.hpp"

#include <algorithm>

#include "problem_facts.hpp"
#include "wins/graph/passes.hpp"
#include "wins/winograd/pointwise.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::Node;

WinogradProblem own_problem(const Problem& problem, int m) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) return {conv->m, conv->stride, conv->pads, conv->mask, conv->activation};
  const auto* conv = problem.node.as<graph::Conv>();
  const Shape& weights = problem.input_shape(1);
  const int positions = winograd::algorithm(m, 3).positions();
  return {m, 1, conv->window.pads, winograd::Mask::full(winograd::Axis::row, positions, weights[0], weights[1]), conv->activation};
}

const Node& pointwise_of(const Problem& problem) { return *problem.companion->pointwise; }
const Tensor& pointwise_weights(const Problem& problem) { return *problem.env.graph.constant_input(pointwise_of(problem), 1); }

/// `own` and `other` in the order of the channels.
template <class T, class Join>
T in_order(const Problem& problem, const T& own, const T& other, const Join& join) {
  return problem.companion->first ? join(other, own) : join(own, other);
}

}  // namespace

WinogradProblem winograd_problem(const Problem& problem, int m) {
  WinogradProblem given = own_problem(problem, m);
  if (problem.companion == nullptr) return given;
  const Shape& shape = pointwise_weights(problem).shape();
  given.mask = in_order(problem, given.mask, winograd::pointwise_mask(winograd::algorithm(given.m, 3), shape[0], shape[1]), winograd::join_rows);
  return given;
}

std::optional<std::string> refuse_rows(const Problem& problem) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) {
    if (conv->mask.axis != winograd::Axis::row) return "the mask is not of rows";
  } else {
    if (!problem.env.options.winograd) return "Winograd is off";
    const std::string reason = graph::winograd_refusal(problem.env.graph, problem.node);
    if (!reason.empty()) return reason;
  }
  const auto is_constant = [&](const Node& node) {
    return problem.env.graph.constant_input(node, 1) != nullptr && (node.input(2) == graph::kNone || problem.env.graph.constant_input(node, 2) != nullptr);
  };
  if (!is_constant(problem.node) || (problem.companion != nullptr && !is_constant(pointwise_of(problem)))) return "weights are not constant";
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
  const auto* pruned = problem.node.as<graph::WinogradConv>();
  const Tensor own = pruned != nullptr ? weights : winograd::transform_weights(winograd::algorithm(m, 3), weights);
  if (problem.companion == nullptr) return own;
  const winograd::Algorithm& algorithm = winograd::algorithm(pruned != nullptr ? pruned->m : m, 3);
  return in_order(problem, own, winograd::transform_pointwise(algorithm, pointwise_weights(problem)), winograd::join_filters);
}

std::shared_ptr<const DeviceBuffer> upload_winograd_bias(const Problem& problem) {
  if (problem.companion == nullptr) return upload_float_bias(problem);
  const auto bias_of = [&](const Node& node, std::int64_t filters) {
    std::vector<float> values(static_cast<std::size_t>(filters), 0.0F);
    if (node.input(2) != graph::kNone) std::ranges::copy(problem.env.graph.constant_input(node, 2)->data<float>(), values.begin());
    return values;
  };
  const std::int64_t filters = pointwise_weights(problem).dim(0);
  const auto join = [](std::vector<float> first, const std::vector<float>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  const std::vector<float> both = in_order(problem, bias_of(problem.node, problem.output_shape()[1] - filters), bias_of(pointwise_of(problem), filters), join);
  return upload_floats(problem.env, problem.node.name + companion_suffix(problem) + "/bias", both);
}

std::string companion_suffix(const Problem& problem) { return problem.companion != nullptr ? "/with " + pointwise_of(problem).name : ""; }

}  // namespace wins::runtime::cuda
