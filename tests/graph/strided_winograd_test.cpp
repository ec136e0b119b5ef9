// Convolutions of stride 2 as Winograd layers: who takes them, shapes, cost, portable form.
#include "builders.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

Conv conv_of(const Window& w, std::int64_t group = 1) {
  Conv op;
  op.window = w;
  op.group = group;
  return op;
}

/// Conv "node" with 4 inputs and 5 outputs a channel, bias, on an image of this shape.
Graph network(wins::Shape shape, const Window& w, bool bias = true) {
  std::vector<Arg> args = {of_shape(std::move(shape)), constant(random_normal({5, 4, 3, 3}, 1))};
  if (bias) args.push_back(constant(random_normal({5}, 2)));
  Graph graph = single_node(conv_of(w), args);
  infer_shapes(graph);
  return graph;
}

TEST(StridedWinograd, IsTakenOnlyWhenAskedFor) {
  const auto refusal = [](const Window& w, bool strided, wins::Shape shape = {1, 4, 9, 9}) {
    const Graph graph = network(std::move(shape), w);
    return winograd_refusal(graph, graph.nodes[0], strided);
  };
  EXPECT_EQ(refusal(window(3, 2, 1), false), "stride 2x2");
  EXPECT_EQ(refusal(window(3, 2, 1), true), "");
  EXPECT_EQ(refusal(window(3, 1, 1), true), "");
  EXPECT_EQ(refusal(window(3, 3, 1), true), "stride 3x3");
  EXPECT_EQ(refusal(window(3, 2, 1, 2), true), "dilation 2x2");
  EXPECT_EQ(refusal(window(3, 2, -1), true), "negative pad -1");
  Window uneven = window(3, 2, 1);
  uneven.stride = {2, 1};
  EXPECT_EQ(refusal(uneven, true), "stride 2x1");
  Window same = window(3, 2);
  same.auto_pad = AutoPad::same_upper;
  EXPECT_EQ(refusal(same, true), "");
  EXPECT_EQ(refusal(same, true, {1, 4, -1, 9}), "its pads depend on the input's size");
  same.auto_pad = AutoPad::valid;
  EXPECT_EQ(refusal(same, true, {1, 4, -1, -1}), "");
  Graph graph = network({1, 4, 9, 9}, window(3, 2, 1));
  EXPECT_NE(error_of([&] { to_winograd(graph, "node", 4); }).find("node 'node' has stride 2"), std::string::npos);
}

TEST(StridedWinograd, FormsEqualTheConvolutionConcreteAndDynamic) {
  for (const std::array<std::int64_t, 4>& pads :
       {std::array<std::int64_t, 4>{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 1, 1, 2}}) {
    for (std::int64_t h = 3; h <= 10; ++h) {
      for (const bool dynamic : {false, true}) {
        const wins::Shape shape{2, 4, h, 13 - h};
        Window w = window(3, 2);
        w.pads = pads;
        const Graph graph = network(dynamic ? wins::Shape{-1, 4, -1, -1} : shape, w, h % 2 == 0);
        Graph winograd = graph;
        to_winograd(winograd, "node", 2);
        EXPECT_EQ(ops_of(winograd), "WinogradConv");
        expect_same(winograd, graph, {shape}, 1e-6);
        Graph portable = winograd;
        to_portable(portable);
        EXPECT_EQ(ops_of(portable).find("Winograd"), std::string::npos);
        expect_same(portable, winograd, {shape}, 1e-7);
      }
    }
  }
}

TEST(StridedWinograd, SamePadsAreThoseOfTheConvolution) {
  for (const AutoPad mode : {AutoPad::same_upper, AutoPad::same_lower, AutoPad::valid}) {
    for (const wins::Shape& shape : {wins::Shape{1, 4, 8, 9}, wins::Shape{1, 4, 7, 10}}) {
      Window w = window(3, 2);
      w.auto_pad = mode;
      const Graph graph = network(shape, w);
      Graph winograd = graph;
      to_winograd(winograd, "node", 2);
      expect_same(winograd, graph, {shape}, 1e-6);
    }
  }
}

TEST(StridedWinograd, InfersLikeAConv) {
  WinogradConv op;
  op.stride = 2;
  op.mask = winograd::Mask::full(winograd::Axis::row, 25, 8, 5);
  const Arg U = of_shape({25, 8, 5});
  EXPECT_EQ(inferred(op, {of_shape({2, 5, 13, 8}), U}), "2x8x7x4");
  EXPECT_EQ(inferred(op, {of_shape({-1, 5, -1, 7}), U}), "?x8x?x4");
  EXPECT_NE(infer_error(op, {of_shape({2, 5, 13, 8}), of_shape({16, 8, 5})}), "");
  WinogradConv wrong = op;
  wrong.mask = winograd::Mask::full(winograd::Axis::row, 16, 8, 5);
  EXPECT_NE(infer_error(wrong, {of_shape({2, 5, 13, 8}), U}).find("16 positions"), std::string::npos);
  wrong = op;
  wrong.m = 4;
  EXPECT_NE(infer_error(wrong, {of_shape({2, 5, 13, 8}), U}).find("F(4, 3) with stride 2"), std::string::npos);
  wrong = op;
  wrong.stride = 3;
  EXPECT_NE(infer_error(wrong, {of_shape({2, 5, 13, 8}), U}).find("stride 3"), std::string::npos);
}

TEST(StridedWinograd, CostCountsKeptWeightsAndTiles) {
  Graph graph = network({-1, 4, 9, 14}, window(3, 2, 1));
  to_winograd(graph, "node", 2);
  auto& mask = graph.nodes[0].as<WinogradConv>()->mask;
  for (std::size_t i = 0; i < 30; ++i) mask.keep[i] = 0;  // of 125 rows of 4 weights
  const NetworkCost cost = count_cost(specialize(graph, {{3, 4, 9, 14}}));
  EXPECT_EQ(cost.nodes[0].direct_macs, 3 * 5 * 5 * 7 * 4 * 9);
  EXPECT_EQ(cost.nodes[0].macs, (125 - 30) * 4 * (3 * 4) * 3);  // 5 x 7 outputs: 3 x 4 tiles
  EXPECT_EQ(cost.nodes[0].dense_parameters, 125 * 4 + 5);
  EXPECT_DOUBLE_EQ(cost.pruning_ratio(graph), 30.0 / 125);
}

TEST(StridedWinograd, TakesBatchNormAndEpilogues) {
  Graph graph = network({2, 4, 9, 8}, window(3, 2, 1));
  const ValueId y = graph.nodes[0].outputs[0];
  const ValueId normal = graph.add_node(
      "norm", BatchNorm{}, {y, graph.add_constant("s", random_normal({5}, 3)), graph.add_constant("h", random_normal({5}, 4)),
                            graph.add_constant("mean", random_normal({5}, 5)),
                            graph.add_constant("v", Tensor::of<float>({5}, std::vector<float>(5, 0.7F)))});
  graph.outputs = {graph.add_node("relu", Unary{{UnaryKind::relu}}, {normal})};
  infer_shapes(graph);
  Graph winograd = graph;
  to_winograd(winograd, "node", 2);
  EXPECT_EQ(fold_batch_norm(winograd), 1);
  EXPECT_EQ(fuse_epilogues(winograd), 1);
  EXPECT_EQ(ops_of(winograd), "WinogradConv");
  expect_same(winograd, graph, {{2, 4, 9, 8}}, 1e-6);
  to_portable(winograd);
  expect_same(winograd, graph, {{2, 4, 9, 8}}, 1e-6);
}

}  // namespace
}  // namespace wins::graph
