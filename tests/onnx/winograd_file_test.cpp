// WinogradConv in files: kept units and indices only, restored bit by bit.
#include "onnx_testing.hpp"
#include "winograd_weights.hpp"

namespace wins::onnx {
namespace {

using winograd::Axis;

class WinogradFile : public ::testing::TestWithParam<std::tuple<int, Axis>> {};

TEST_P(WinogradFile, RestoresMaskAndWeightsExactly) {
  const auto [m, axis] = GetParam();
  graph::Graph before = small_network(5, 7, 9, 11);
  prune_small(before, m, axis);
  const graph::Graph after = load_bytes(save_bytes(before), "w.onnx");
  const auto* expected = before.find_node("conv");
  const auto* found = after.find_node("conv");
  ASSERT_NE(found, nullptr);
  ASSERT_NE(found->as<graph::WinogradConv>(), nullptr);
  EXPECT_EQ(found->as<graph::WinogradConv>()->m, m);
  EXPECT_EQ(found->as<graph::WinogradConv>()->pads, expected->as<graph::WinogradConv>()->pads);
  EXPECT_TRUE(found->as<graph::WinogradConv>()->mask == expected->as<graph::WinogradConv>()->mask);
  EXPECT_EQ(max_abs_difference(*after.constant_input(*found, 1), *before.constant_input(*expected, 1)), 0.0);
  EXPECT_EQ(max_abs_difference(*after.constant_input(*found, 2), *before.constant_input(*expected, 2)), 0.0);
}

INSTANTIATE_TEST_SUITE_P(All, WinogradFile,
                         ::testing::Combine(::testing::Values(2, 4, 6),
                                            ::testing::Values(Axis::row, Axis::column, Axis::element)));

TEST(WinogradWeights, KnownLayout) {
  // p*p = 1, K = 2, C = 3.
  const Tensor U = Tensor::of<float>({1, 2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  winograd::Mask mask{Axis::column, 1, 2, 3, {1, 0, 1}};
  const CarriedWeights columns = carry(mask, U);
  EXPECT_THAT(columns.values.data<float>(), ::testing::ElementsAre(1, 4, 3, 6));
  EXPECT_THAT(columns.indices.data<std::int64_t>(), ::testing::ElementsAre(0, 2));
  mask = {Axis::row, 1, 2, 3, {0, 1}};
  EXPECT_THAT(carry(mask, U).values.data<float>(), ::testing::ElementsAre(4, 5, 6));
  mask = {Axis::element, 1, 2, 3, {0, 1, 0, 0, 0, 1}};
  EXPECT_THAT(carry(mask, U).values.data<float>(), ::testing::ElementsAre(2, 6));
}

TEST(WinogradWeights, RefusesWhatDoesNotFit) {
  const auto carried = [](wins::Shape shape, std::vector<std::int64_t> indices) {
    const auto count = static_cast<std::int64_t>(indices.size());
    return CarriedWeights{Tensor(DType::f32, std::move(shape)), Tensor::of<std::int64_t>({count}, indices)};
  };
  EXPECT_NO_THROW(restore(Axis::row, {4, 2, 3}, carried({2, 3}, {0, 7})));
  EXPECT_THAT(error_of([&] { restore(Axis::row, {4, 2, 3}, carried({2, 3}, {7, 0})); }),
              ::testing::HasSubstr("out of order"));
  EXPECT_THAT(error_of([&] { restore(Axis::row, {4, 2, 3}, carried({2, 3}, {0, 8})); }),
              ::testing::HasSubstr("out of range"));
  EXPECT_THAT(error_of([&] { restore(Axis::row, {4, 2, 3}, carried({2, 3}, {-1, 0})); }),
              ::testing::HasSubstr("out of range"));
  EXPECT_THAT(error_of([&] { restore(Axis::row, {4, 2, 3}, carried({2, 3}, {3, 3})); }),
              ::testing::HasSubstr("out of order"));
  EXPECT_THAT(error_of([&] { restore(Axis::row, {4, 2, 3}, carried({2, 4}, {0, 1})); }),
              ::testing::HasSubstr("do not fit"));
}

TEST(WinogradFile, HoldsKeptRowsOnly) {
  graph::Graph dense = small_network(16, 16, 8, 8);
  prune_small(dense, 2, Axis::row, true);
  graph::Graph pruned = small_network(16, 16, 8, 8);
  prune_small(pruned, 2, Axis::row);
  const std::size_t kept = static_cast<std::size_t>(
      pruned.find_node("conv")->as<graph::WinogradConv>()->mask.kept_total());
  const std::size_t saved = save_bytes(dense).size() - save_bytes(pruned).size();
  EXPECT_NEAR(static_cast<double>(saved), static_cast<double>((256 - kept) * (16 * 4 + 8)), 64.0);
}

TEST(WinogradFile, BadLayerIsNamed) {
  graph::Graph graph = small_network(4, 4, 8, 8);
  prune_small(graph, 2, Axis::row);
  pb::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(save_bytes(graph)));
  for (auto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() != "WinogradConv") continue;
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.name() == "shape") attribute.set_ints(1, 1'000'000);
    }
  }
  const std::string message = error_of([&] { load_model(model); });
  EXPECT_THAT(message, ::testing::HasSubstr("node 'conv' (wins.WinogradConv)"));
}

TEST(Save, KeepsMetadataAndDynamicExtents) {
  graph::Graph graph = small_network(3, 4, -1, -1);
  graph.metadata = {{"classes", "cat\ndog"}, {"empty", ""}};
  const graph::Graph again = load_bytes(save_bytes(graph), "m.onnx");
  EXPECT_EQ(again.metadata, graph.metadata);
  EXPECT_EQ(*again.value(again.inputs[0]).shape, (wins::Shape{-1, 3, -1, -1}));
}

TEST(Save, UnwritableFolderIsNamed) {
  const graph::Graph graph = small_network(3, 4, 8, 8);
  EXPECT_THAT(error_of([&] { save(graph, "/nonexistent/folder/m.onnx"); }), ::testing::HasSubstr("/nonexistent/folder"));
}

}  // namespace
}  // namespace wins::onnx
