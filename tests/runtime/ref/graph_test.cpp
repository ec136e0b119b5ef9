// Whole graphs, data movement and integer operators through the reference.
#include "known_values.hpp"

namespace wins::runtime::ref {
namespace {

TEST(Movement, KeepsDoublePrecision) {
  // 1/3 as a float, squared in double: a detour through float32 would be seen.
  const Tensor x = Tensor::of<double>({1, 4, 1, 2}, {1.0 / 3, 2, 3, 4, 5, 6, 7, 8});
  const auto y = run_op(graph::DepthToSpace{2, false}, {x}, Precision::float64);
  ASSERT_EQ(y[0].shape(), (Shape{1, 1, 2, 4}));
  EXPECT_EQ(y[0].data<double>()[0], 1.0 / 3);
  EXPECT_EQ(y[0].data<double>()[1], 3);
  const auto turned = run_op(graph::Transpose{{0, 3, 2, 1}}, {x}, Precision::float64);
  ASSERT_EQ(turned[0].shape(), (Shape{1, 2, 1, 4}));
  EXPECT_EQ(turned[0].data<double>()[1], 3);
}

TEST(Movement, ShapesAndIntegers) {
  const Tensor x = data(1, {2, 3, 4});
  const auto shape = run_op(graph::Shape{0, {}}, {x}, Precision::float64);
  ASSERT_EQ(shape[0].dtype(), DType::i64);
  EXPECT_EQ(shape[0].data<std::int64_t>()[2], 4);
  const auto product = run_op(graph::Binary{graph::BinaryKind::mul, {}}, {ints({2, 3}), ints({5})}, Precision::float32);
  ASSERT_EQ(product[0].dtype(), DType::i64);
  EXPECT_EQ(product[0].data<std::int64_t>()[1], 15);
  const auto cast = run_op(graph::Cast{DType::f32}, {ints({3})}, Precision::float64);
  EXPECT_EQ(cast[0].dtype(), DType::f64);
}

TEST(Movement, PowWithIntegerExponent) {
  const auto y = run_op(graph::Binary{graph::BinaryKind::pow, {}}, {floats({2, 3}), ints({3})}, Precision::float64);
  EXPECT_EQ(y[0].data<double>()[1], 27);
}

TEST(Movement, SplitGivesAllParts) {
  const auto parts = run_op(graph::Split{1}, {data(1, {1, 5}), ints({2, 3})}, Precision::float32, 2);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[1].shape(), (Shape{1, 3}));
}

/// y = relu(x + 1) * 2; the sum is an output too.
graph::Graph small_graph() {
  graph::Graph g;
  const auto x = g.add_value("x", DType::f32, Shape{-1, 2});
  const auto one = g.add_constant("one", Tensor::scalar(1.0F));
  const auto two = g.add_constant("two", Tensor::scalar(2.0F));
  const auto sum = g.add_node("sum", graph::Binary{graph::BinaryKind::add, {}}, {x, one});
  const auto relu = g.add_node("relu", graph::Unary{{graph::UnaryKind::relu, 0, 0}}, {sum});
  const auto y = g.add_node("y", graph::Binary{graph::BinaryKind::mul, {}}, {relu, two});
  g.inputs = {x};
  g.outputs = {y, sum};
  return g;
}

TEST(Run, OutputsInOrder) {
  const auto y = run(small_graph(), {Tensor::of<float>({1, 2}, {-3, 4})}, Precision::float64);
  ASSERT_EQ(y.size(), 2U);
  EXPECT_EQ(y[0].dtype(), DType::f64);
  EXPECT_EQ(y[0].data<double>()[0], 0);
  EXPECT_EQ(y[0].data<double>()[1], 10);
  EXPECT_EQ(y[1].data<double>()[0], -2);
}

TEST(Run, AllValues) {
  const graph::Graph g = small_graph();
  const auto values = run_all(g, {Tensor::of<float>({1, 2}, {-3, 4})}, Precision::float32);
  ASSERT_EQ(values.size(), g.values.size());
  for (const Tensor& value : values) EXPECT_TRUE(value.defined());
}

TEST(Run, RefusesAWrongCount) { EXPECT_ANY_THROW(run(small_graph(), {}, Precision::float32)); }

}  // namespace
}  // namespace wins::runtime::ref
