// WinogradConv of stride 2 in files: attribute, function body, refusals.
#include <fmt/ranges.h>

#include "onnxruntime_testing.hpp"

namespace wins::onnx {
namespace {

using winograd::Axis;

graph::Graph pruned_network(Axis axis, bool dynamic = true) {
  graph::Graph graph = dynamic ? small_network(5, 7, -1, -1, 2) : small_network(5, 7, 9, 11, 2);
  prune_small(graph, 2, axis);
  return graph;
}

pb::ModelProto model_of(const graph::Graph& graph) {
  pb::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(save_bytes(graph)));
  return model;
}

pb::NodeProto& winograd_node(pb::ModelProto& model) {
  for (auto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() == "WinogradConv") return node;
  }
  throw Error("no WinogradConv");
}

/// The attribute of that name, or null.
pb::AttributeProto* attribute(pb::ModelProto& model, const std::string& name) {
  for (auto& found : *winograd_node(model).mutable_attribute()) {
    if (found.name() == name) return &found;
  }
  return nullptr;
}

TEST(StridedFile, RoundTripsExactly) {
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    const graph::Graph before = pruned_network(axis, false);
    const graph::Graph after = load_bytes(save_bytes(before), "w.onnx");
    const auto* want = before.find_node("conv");
    const auto* got = after.find_node("conv");
    ASSERT_NE(got->as<graph::WinogradConv>(), nullptr);
    EXPECT_EQ(got->as<graph::WinogradConv>()->stride, 2);
    EXPECT_TRUE(got->as<graph::WinogradConv>()->mask == want->as<graph::WinogradConv>()->mask);
    EXPECT_EQ(max_abs_difference(*after.constant_input(*got, 1), *before.constant_input(*want, 1)), 0.0);
    EXPECT_EQ(*after.value(got->outputs[0]).shape, (wins::Shape{-1, 7, 5, 6}));
  }
}

TEST(StridedFile, StrideOneIsWrittenAsBefore) {
  graph::Graph graph = small_network(5, 7, 9, 11);
  prune_small(graph, 2, Axis::row);
  pb::ModelProto one = model_of(graph), two = model_of(pruned_network(Axis::row));
  EXPECT_EQ(attribute(one, "stride"), nullptr);
  EXPECT_EQ(winograd_node(one).overload(), "f2x3_row_bias_p1_1_1_1");
  ASSERT_NE(attribute(two, "stride"), nullptr);
  EXPECT_EQ(attribute(two, "stride")->i(), 2);
  EXPECT_EQ(winograd_node(two).overload(), "f2x3_s2_row_bias_p1_1_1_1");
}

TEST(StridedFile, BadValuesAreNamedInOneLine) {
  const auto refusal = [](const std::string& name, std::int64_t value) {
    pb::ModelProto model = model_of(pruned_network(Axis::row));
    if (name == "shape") {
      attribute(model, name)->set_ints(0, value);
    } else {
      attribute(model, name)->set_i(value);
    }
    const std::string message = error_of([&] { load_model(model); });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_THAT(message, ::testing::HasSubstr("node 'conv' (wins.WinogradConv)"));
    return message;
  };
  EXPECT_THAT(refusal("stride", 3), ::testing::HasSubstr("stride 3 with F(2x2, 3x3)"));
  EXPECT_THAT(refusal("stride", 0), ::testing::HasSubstr("stride 0"));
  EXPECT_THAT(refusal("stride", -1), ::testing::HasSubstr("stride -1"));
  EXPECT_THAT(refusal("stride", std::int64_t{1} << 40), ::testing::HasSubstr("stride 1099511627776"));
  EXPECT_THAT(refusal("m", 4), ::testing::HasSubstr("stride 2 with F(4x4, 3x3)"));
  EXPECT_THAT(refusal("r", 5), ::testing::HasSubstr("stride 2 with F(2x2, 5x5)"));
  EXPECT_THAT(refusal("shape", 16), ::testing::HasSubstr("shape[0] = 16 but p*p = 25"));
  EXPECT_THAT(refusal("stride", 1), ::testing::HasSubstr("shape[0] = 25 but p*p = 16"));
}

TEST(StridedFile, RunsInOnnxRuntime) {
  const TempFolder folder;
  int number = 0;
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{9, 12}, {10, 11}, {1, 2}, {7, 3}}) {
      const Tensor input = random_normal({2, 5, h, w}, 3);
      const std::string name = fmt::format("case{}", number++);
      write_case(folder.path(), name, pruned_network(axis), input, bound_of(2));
      write_case(folder.path(), name + "_portable", pruned_network(axis), input, bound_of(2), true);
    }
  }
  expect_agreement(folder.path());
}

TEST(StridedFile, RunsOddPadsWithoutBiasInOnnxRuntime) {
  const TempFolder folder;
  graph::Graph graph = pruned_network(Axis::row);
  graph.nodes[0].inputs.resize(2);
  graph::remove_unused(graph);
  for (const std::array<std::int64_t, 4>& pads : {std::array<std::int64_t, 4>{0, 0, 0, 0}, {0, 2, 1, 0}, {0, 0, 1, 1}}) {
    graph.nodes[0].as<graph::WinogradConv>()->pads = pads;
    for (const std::int64_t h : {8, 9}) {
      const std::string name = fmt::format("p{}_{}", fmt::join(pads, ""), h);
      write_case(folder.path(), name, graph, random_normal({1, 5, h, 11 - h + 8}, 4), bound_of(2));
    }
  }
  expect_agreement(folder.path());
}

}  // namespace
}  // namespace wins::onnx
