#include "wins/graph/graph.hpp"

#include "builders.hpp"

namespace wins::graph {
namespace {

Graph chain() {
  Graph graph;
  graph.name = "chain";
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{1, 2});
  graph.inputs = {x};
  const ValueId y = graph.add_node("first", Unary{{UnaryKind::relu, 0, 0}}, {x});
  graph.add_node("dead", Unary{{UnaryKind::exp, 0, 0}}, {y});
  const ValueId c = graph.add_constant("c", Tensor::of<float>({2}, {1, 2}));
  graph.add_constant("unused", Tensor::of<float>({2}, {1, 2}));
  graph.outputs = {graph.add_node("last", Binary{}, {y, c})};
  return graph;
}

TEST(Graph, Lookups) {
  const Graph graph = chain();
  EXPECT_EQ(graph.find_node("last"), &graph.nodes[2]);
  EXPECT_EQ(graph.find_node("none"), nullptr);
  EXPECT_EQ(graph.producer(graph.nodes[0].outputs[0]), &graph.nodes[0]);
  EXPECT_EQ(graph.producer(graph.inputs[0]), nullptr);
  EXPECT_EQ(graph.consumers(graph.nodes[0].outputs[0]), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(graph.constant_input(graph.nodes[2], 0), nullptr);
  ASSERT_NE(graph.constant_input(graph.nodes[2], 1), nullptr);
  EXPECT_EQ(graph.constant_input(graph.nodes[2], 7), nullptr);
}

TEST(Graph, TakenNamesGetASuffix) {
  Graph graph;
  const ValueId a = graph.add_value("x", DType::f32), b = graph.add_value("x", DType::f32);
  EXPECT_EQ(graph.value(a).name, "x");
  EXPECT_NE(graph.value(b).name, "x");
}

TEST(Graph, RemoveUnusedDropsAndRenumbers) {
  Graph graph = chain();
  remove_unused(graph);
  validate(graph);
  EXPECT_EQ(ops_of(graph), "Relu Add");
  EXPECT_EQ(graph.values.size(), 4U);
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "last");
  EXPECT_EQ(graph.value(graph.inputs[0]).name, "x");
}

TEST(Validate, AcceptsAChain) {
  EXPECT_NO_THROW(validate(chain()));
}

TEST(Validate, ListsEveryFaultAtOnce) {
  Graph graph = chain();
  graph.nodes[1].name = "first";              // duplicate node name
  graph.nodes[2].inputs = {99, kNone};        // dangling id, missing operand
  graph.values[4].name = "c";                 // duplicate value name
  std::swap(graph.nodes[0], graph.nodes[1]);  // order
  const std::string message = error_of([&] { validate(graph); });
  for (const char* part : {"two nodes are named 'first'", "value 99", "input 1 is missing",
                           "two values are named 'c'", "before it is computed", "'chain'"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
  }
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(Validate, CyclesDuplicatesAndMissingOutputs) {
  Graph cyclic = chain();
  cyclic.nodes[0].inputs = {cyclic.nodes[2].outputs[0]};
  EXPECT_NE(error_of([&] { validate(cyclic); }).find("before it is computed"), std::string::npos);
  Graph twice = chain();
  twice.nodes[1].outputs = twice.nodes[0].outputs;
  EXPECT_NE(error_of([&] { validate(twice); }).find("exists already"), std::string::npos);
  Graph none = chain();
  none.outputs.clear();
  EXPECT_NE(error_of([&] { validate(none); }).find("no outputs"), std::string::npos);
  Graph arity = chain();
  arity.nodes[0].inputs.push_back(arity.inputs[0]);
  EXPECT_NE(error_of([&] { validate(arity); }).find("at most 1"), std::string::npos);
  Graph trailing = single_node(Conv{}, {of_shape({1, 1, 4, 4}), of_shape({1, 1, 1, 1}), absent()});
  EXPECT_NE(error_of([&] { validate(trailing); }).find("absent"), std::string::npos);
  Graph wrong = chain();
  wrong.value(wrong.nodes[2].inputs[1]).shape = wins::Shape{3};
  EXPECT_NE(error_of([&] { validate(wrong); }).find("its value says 3"), std::string::npos);
}

TEST(Validate, ManyFaultsAreCounted) {
  Graph graph = chain();
  for (int i = 0; i < 100; ++i) graph.nodes.push_back({"copy", Unary{}, {12345}, {54321}});
  const std::string message = error_of([&] { validate(graph); });
  EXPECT_NE(message.find("more"), std::string::npos);
  EXPECT_LT(message.size(), 3000U);
}

TEST(Ops, HaveTheNamesOfOnnx) {
  EXPECT_EQ(op_name(Conv{}), "Conv");
  EXPECT_EQ(op_name(Unary{{UnaryKind::leaky_relu, 0, 0}}), "LeakyRelu");
  EXPECT_EQ(op_name(Binary{BinaryKind::div, {}}), "Div");
  Pool average;
  average.kind = Pool::Kind::average;
  EXPECT_EQ(op_name(average), "AveragePool");
  EXPECT_EQ(op_name(Softmax{-1, true}), "LogSoftmax");
}

}  // namespace
}  // namespace wins::graph
