// Small networks for the tests of the runtime.
#pragma once

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/graph/passes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime {

/// Pictures [N, 3, H, W] -> scores [N, 5]: conv + batch norm + relu, a row-pruned Winograd layer with a
/// residual, global pooling, a Gemm. Batch, height and width are dynamic.
inline graph::Graph small_network() {
  graph::Graph g;
  g.name = "small";
  const auto constant = [&g](const char* name, const Shape& shape, std::uint64_t seed) {
    return g.add_constant(name, random_normal(shape, seed, 0.3F));
  };
  const auto x = g.add_value("image", DType::f32, Shape{-1, 3, -1, -1});
  graph::Conv conv;
  conv.window = {.kernel = {3, 3}, .pads = {1, 1, 1, 1}};
  const auto first = g.add_node("stem", conv, {x, constant("stem.w", {4, 3, 3, 3}, 1)});
  Tensor variance(DType::f32, {4});
  for (float& value : variance.mutable_data<float>()) value = 0.5F;
  const auto normal =
      g.add_node("norm", graph::BatchNorm{}, {first, constant("norm.scale", {4}, 2), constant("norm.shift", {4}, 3),
                                              constant("norm.mean", {4}, 4), g.add_constant("norm.var", variance)});
  const auto relu = g.add_node("relu", graph::Unary{{graph::UnaryKind::relu, 0, 0}}, {normal});

  graph::WinogradConv layer;
  layer.mask = winograd::Mask::full(winograd::Axis::row, 16, 4, 4);
  Tensor U = random_normal({16, 4, 4}, 5, 0.3F);
  for (std::size_t row = 0; row < layer.mask.keep.size(); row += 3) {
    layer.mask.keep[row] = 0;
    for (std::size_t c = 0; c < 4; ++c) U.mutable_data<float>()[row * 4 + c] = 0;
  }
  const auto second = g.add_node("pruned", layer, {relu, g.add_constant("pruned.U", U)});
  const auto sum = g.add_node("sum", graph::Binary{graph::BinaryKind::add, {}}, {second, relu});
  const auto pooled = g.add_node("pool", graph::GlobalPool{}, {sum});
  const auto flat = g.add_node("flat", graph::Flatten{1}, {pooled});
  const auto scores =
      g.add_node("scores", graph::Gemm{}, {flat, constant("scores.w", {4, 5}, 6), constant("scores.b", {5}, 7)});
  g.inputs = {x};
  g.outputs = {scores};
  return g;
}

/// Every convolution that Winograd takes, with F(2,3) and about so many of its rows.
inline void prune_randomly(graph::Graph& graph, unsigned keep_percent) {
  std::vector<std::string> names;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::Conv>() != nullptr && graph::winograd_refusal(graph, node).empty())
      names.push_back(node.name);
  }
  std::mt19937 random(1);
  for (const std::string& name : names) {
    graph::to_winograd(graph, name, 2);
    auto node =
        std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const auto& n) { return n.name == name; });
    auto& mask = node->as<graph::WinogradConv>()->mask;
    Tensor& U = *graph.value(node->inputs[1]).constant;
    auto values = U.mutable_data<float>();
    for (std::size_t row = 0; row < mask.keep.size(); ++row) {
      if (random() % 100 < keep_percent) continue;
      mask.keep[row] = 0;
      std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(row) * mask.columns, mask.columns, 0.0F);
    }
  }
}

}  // namespace wins::runtime
