// Exported files run in ONNX Runtime, and compute what the float64 reference computes.
#include "onnxruntime_testing.hpp"

namespace wins::onnx {
namespace {

using winograd::Axis;

/// Fused form: residual from the input, and an activation, inside the convolution.
graph::Graph fused_network(int m, Axis axis, graph::UnaryKind activation) {
  graph::Graph graph = small_network(6, 6, -1, -1);
  graph::Node& conv = graph.nodes[0];
  conv.inputs.push_back(graph.inputs[0]);
  conv.as<graph::Conv>()->activation = {activation, 0.1F, 0.9F};
  if (m > 0) prune_small(graph, m, axis);
  return graph;
}

TEST(OnnxRuntime, RunsPrunedLayers) {
  const TempFolder folder;
  const Tensor odd = random_normal({2, 5, 9, 11}, 3);
  for (const int m : {2, 4, 6}) {
    for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
      graph::Graph graph = small_network(5, 7, -1, -1);
      prune_small(graph, m, axis);
      const std::string name = fmt::format("f{}_axis{}", m, static_cast<int>(axis));
      write_case(folder.path(), name, graph, odd, bound_of(m));
    }
    graph::Graph dense = small_network(5, 7, -1, -1);
    prune_small(dense, m, Axis::row, true);
    write_case(folder.path(), fmt::format("f{}_dense", m), dense, odd, bound_of(m));
  }
  expect_agreement(folder.path());
}

TEST(OnnxRuntime, RunsOddPadsWithoutBiasAndEmptyLayers) {
  const TempFolder folder;
  graph::Graph graph = small_network(5, 7, -1, -1);
  prune_small(graph, 4, Axis::row);
  graph.nodes[0].as<graph::WinogradConv>()->pads = {0, 2, 1, 0};
  graph.nodes[0].inputs.resize(2);
  graph::remove_unused(graph);
  write_case(folder.path(), "pads", graph, random_normal({1, 5, 8, 10}, 4), bound_of(4));
  graph = small_network(5, 7, -1, -1);
  prune_small(graph, 2, Axis::row);
  auto& conv = *graph.nodes[0].as<graph::WinogradConv>();
  conv.mask.keep.assign(conv.mask.keep.size(), 0);
  graph.nodes[0].inputs[1] = graph.add_constant("none", Tensor(DType::f32, {16, 7, 5}));
  graph::remove_unused(graph);
  write_case(folder.path(), "nothing_kept", graph, random_normal({1, 5, 8, 10}, 4), bound_of(2));
  expect_agreement(folder.path());
}

TEST(OnnxRuntime, RunsFusedEpilogues) {
  const TempFolder folder;
  const Tensor input = random_normal({1, 6, 7, 10}, 5);
  for (const auto kind : {graph::UnaryKind::relu, graph::UnaryKind::silu, graph::UnaryKind::clip,
                          graph::UnaryKind::gelu_tanh, graph::UnaryKind::hard_sigmoid, graph::UnaryKind::mish}) {
    const std::string name = std::to_string(static_cast<int>(kind));
    write_case(folder.path(), "conv_" + name, fused_network(0, Axis::row, kind), input, 1e-5);
    write_case(folder.path(), "winograd_" + name, fused_network(2, Axis::row, kind), input, 1e-5);
  }
  expect_agreement(folder.path());
}

TEST(OnnxRuntime, RunsPortableFiles) {
  const TempFolder folder;
  const Tensor input = random_normal({1, 6, 7, 10}, 5);
  for (const int m : {2, 4, 6}) {
    for (const Axis axis : {Axis::row, Axis::element}) {
      const graph::Graph graph = fused_network(m, axis, graph::UnaryKind::relu);
      const std::string name = fmt::format("f{}_axis{}", m, static_cast<int>(axis));
      write_case(folder.path(), name, graph, input, bound_of(m), true);
      pb::ModelProto model;
      ASSERT_TRUE(model.ParseFromString(read_file(folder.path() / (name + ".onnx"))));
      EXPECT_EQ(model.functions_size(), 0);
      for (const auto& node : model.graph().node()) EXPECT_EQ(node.domain(), "");
    }
  }
  expect_agreement(folder.path());
}

TEST(OnnxRuntime, RunsFilesWithTheirWeightsBeside) {
  const TempFolder folder;
  const graph::Graph graph = fused_network(2, Axis::row, graph::UnaryKind::relu);
  write_case(folder.path(), "two", graph, random_normal({1, 6, 7, 10}, 5), bound_of(2));
  ExportOptions options;
  options.max_file_bytes = 1000;
  save(graph, folder.path() / "two.onnx", options);
  ASSERT_TRUE(std::filesystem::exists(folder.path() / "two.onnx.data"));
  expect_agreement(folder.path());
}

}  // namespace
}  // namespace wins::onnx
