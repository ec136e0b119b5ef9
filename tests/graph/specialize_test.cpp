#include "builders.hpp"

namespace wins::graph {
namespace {

/// x.view(x.size(0), -1), as PyTorch's exporter writes it.
Graph view_graph() {
  Graph graph;
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{-1, 3, -1, 4});
  graph.inputs = {x};
  const ValueId shape = graph.add_node("shape", Shape{}, {x});
  const ValueId index = graph.add_constant("index", Tensor::scalar<std::int64_t>(0));
  const ValueId batch = graph.add_node("batch", Gather{0}, {shape, index});
  const ValueId axis = graph.add_constant("axis", vec({0}));
  const ValueId lifted = graph.add_node("lifted", Unsqueeze{}, {batch, axis});
  const ValueId rest = graph.add_constant("rest", vec({-1}));
  const ValueId target = graph.add_node("target", Concat{0}, {lifted, rest});
  graph.outputs = {graph.add_node("view", Reshape{}, {x, target})};
  return graph;
}

TEST(InferShapes, FollowsShapeTensorsWithUnknownElements) {
  Graph graph = view_graph();
  infer_shapes(graph);
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "?x?");
  graph.value(graph.inputs[0]).shape = wins::Shape{2, 3, -1, 4};
  infer_shapes(graph);
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "2x?");
  graph.value(graph.inputs[0]).shape = wins::Shape{-1, 3, 5, 4};
  infer_shapes(graph);
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "?x?");
}

TEST(Specialize, FoldsShapeArithmetic) {
  const Graph graph = specialize(view_graph(), {{2, 3, 5, 4}});
  validate(graph);
  EXPECT_EQ(ops_of(graph), "Reshape");
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "2x60");
  expect_same(graph, view_graph(), {{2, 3, 5, 4}}, 1e-12);
}

TEST(Specialize, ChecksTheInputs) {
  for (const std::vector<wins::Shape>& shapes :
       std::vector<std::vector<wins::Shape>>{{},
                                             {{2, 4, 5, 4}},
                                             {{2, 3, 4}},
                                             {{0, 3, 5, 4}},
                                             {{-1, 3, 5, 4}},
                                             {{1LL << 39, 3, 1LL << 39, 4}}}) {
    EXPECT_NE(error_of([&] { specialize(view_graph(), shapes); }), "");
  }
  EXPECT_NE(error_of([] { specialize(view_graph(), {{2, 3, 5, 4}}, 100); }).find("'x'"), std::string::npos);
}

TEST(Specialize, SillyValuesAreErrorsThatNameTheNode) {
  const auto error = [](Op op, std::vector<Arg> args) {
    args.front().dtype = args.front().constant ? args.front().constant->dtype() : DType::f32;
    return error_of([&] {
      const Graph graph = single_node(op, args);
      specialize(graph, std::vector<wins::Shape>(graph.inputs.size(), {2, 3}));
    });
  };
  const std::int64_t huge = 1LL << 36;
  for (const std::string& message : {
           error(Expand{}, {of_shape({2, 3}), ints({huge, 1, 1})}),
           error(Expand{}, {of_shape({2, 3}), ints({1LL << 62, 1LL << 62, 1, 1})}),
           error(ConstantOfShape{}, {ints({huge, huge})}),
           error(ConstantOfShape{}, {ints({huge})}),
           error(Reshape{}, {of_shape({2, 3}), ints({1LL << 62, 1LL << 62})}),
           error(Range{},
                 {constant(Tensor::scalar<std::int64_t>(0)), constant(Tensor::scalar<std::int64_t>(huge)),
                  constant(Tensor::scalar<std::int64_t>(1))}),
           error(Pad{}, {of_shape({2, 3}), ints({huge, 0, 0, 0})}),
           error(Pad{}, {of_shape({2, 3}), ints({INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX})}),
           error(Resize{}, {of_shape({2, 3}), absent(), floats({1e12F, 1})}),
       }) {
    EXPECT_NE(message.find("node 'node'"), std::string::npos) << message;
  }
}

TEST(Specialize, ShapesThatDependOnDataAreErrors) {
  Graph graph;
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{4});
  graph.inputs = {x};
  const ValueId cast = graph.add_node("cast", Cast{DType::i64}, {x});
  graph.outputs = {graph.add_node("bad", ConstantOfShape{}, {cast})};
  const std::string message = error_of([&] { specialize(graph, {{4}}); });
  EXPECT_NE(message.find("'bad'"), std::string::npos) << message;
  EXPECT_NE(message.find("depends on data"), std::string::npos) << message;
}

TEST(Specialize, FoldingIsBounded) {
  // 64 constants of 2^24 elements: folding them all would take 4 GiB.
  Graph graph;
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{1});
  graph.inputs = {x};
  const ValueId size = graph.add_constant("size", vec({1LL << 24}));
  for (int i = 0; i < 64; ++i) {
    graph.outputs.push_back(graph.add_node("big" + std::to_string(i), ConstantOfShape{}, {size}));
  }
  const Graph folded = specialize(graph, {{1}});
  EXPECT_GE(folded.nodes.size(), 60U);
}

TEST(Specialize, ConstantNodesFoldAndOutputsMayBeConstants) {
  Graph graph;
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{1});
  graph.inputs = {x};
  const ValueId c = graph.add_constant("c", Tensor::of<float>({2}, {1, 2}));
  graph.outputs = {graph.add_node("double", Binary{}, {c, c})};
  const Graph folded = specialize(graph, {{1}});
  validate(folded);
  EXPECT_TRUE(folded.nodes.empty());
  EXPECT_EQ(folded.value(folded.outputs[0]).constant->data<float>()[1], 4);
}

TEST(DefaultInputShapes, FillsDynamicExtents) {
  Graph graph = view_graph();
  EXPECT_EQ(default_input_shapes(graph, 7), (std::vector<wins::Shape>{{7, 3, 224, 4}}));
  EXPECT_EQ(default_input_shapes(graph, 7, 32), (std::vector<wins::Shape>{{7, 3, 32, 4}}));
  graph.metadata["wins.input.height"] = "28";
  EXPECT_EQ(default_input_shapes(graph, 1), (std::vector<wins::Shape>{{1, 3, 28, 4}}));
  graph.metadata["wins.input.height"] = "99999999999999999999999";
  EXPECT_EQ(default_input_shapes(graph, 1), (std::vector<wins::Shape>{{1, 3, 224, 4}}));
  graph.value(graph.inputs[0]).shape.reset();
  EXPECT_NE(error_of([&] { default_input_shapes(graph, 1); }).find("'x'"), std::string::npos);
}

}  // namespace
}  // namespace wins::graph
