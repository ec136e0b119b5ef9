// Fully connected layers that leave out inputs that are zero.
#include <limits>

#include "operator_net.hpp"

namespace wins::runtime::cuda_test {
namespace {

class CudaNonzeros : public Operators {};

/// A network of one row of `inputs`, a ReLU behind them.
struct Row : Net {
  ValueId rows;
  explicit Row(Tensor inputs) : Net(std::move(inputs)), rows(graph.add_node("before", Unary{{UnaryKind::relu, 0, 0}}, {x})) { force_kernel = "cuda:nonzeros"; }
  ValueId weights(std::int64_t columns) { return constant(wins::Shape{columns, graph.value(x).shape->back()}); }
};

Tensor constant_row(std::int64_t inner, float value) {
  Tensor row(DType::f32, {1, inner});
  std::ranges::fill(row.mutable_data<float>(), value);
  return row;
}

/// None of the inputs positive, about half, all.
void check_shares(std::int64_t inner, std::int64_t columns) {
  for (const int share : {0, 1, 2}) {
    SCOPED_TRACE(std::to_string(inner) + " to " + std::to_string(columns) + ", share " + std::to_string(share));
    Row net(share == 1 ? random_normal({1, inner}, 7) : share == 0 ? constant_row(inner, -1) : exact_positive({1, inner}, 7));
    net.check(Gemm{1.5F, 0.5F, false, true, {UnaryKind::identity, 0, 0}}, {net.rows, net.weights(columns), net.constant(wins::Shape{columns}, 4)}, "cuda:nonzeros");
  }
}

TEST_F(CudaNonzeros, AnyShare) {
  for (const std::int64_t inner : {8, 264, 1032}) {
    for (const std::int64_t columns : {5, 67}) check_shares(inner, columns);
  }
}

TEST_F(CudaNonzeros, ManyBlocksOfAnyShare) {
  check_shares(4096, 2200);
  check_shares(33288, 67);  // more than one turn of each block
}

TEST_F(CudaNonzeros, ActivationsAndForms) {
  for (const UnaryKind kind : {UnaryKind::relu, UnaryKind::silu}) {
    Row net(random_normal({1, 264}, 7));
    net.check(Gemm{1, 1, false, true, {kind, 0, 0}}, {net.rows, net.weights(67)}, "cuda:nonzeros");
  }
  Row product(random_normal({1, 48}, 7));
  product.check(MatMul{}, {product.rows, product.constant(wins::Shape{48, 30})}, "cuda:nonzeros");
  Net pooled(wins::Shape{1, 64, 6, 6});
  pooled.force_kernel = "cuda:nonzeros";
  Pool pool;
  pool.window.kernel = pool.window.stride = {2, 2};
  const ValueId relu = pooled.graph.add_node("relu", Unary{{UnaryKind::relu, 0, 0}}, {pooled.x});
  const ValueId rows = pooled.graph.add_node("flatten", Flatten{1}, {pooled.graph.add_node("pool", pool, {relu})});
  pooled.check(Gemm{1, 1, false, true, {}}, {rows, pooled.constant(wins::Shape{40, 576}), pooled.constant({40}, 4)}, "cuda:nonzeros");
}

TEST_F(CudaNonzeros, InfinityAndNotANumberCount) {
  for (const float value : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    Tensor inputs = random_normal({1, 264}, 7);
    inputs.mutable_data<float>()[100] = value;
    Row net(std::move(inputs));
    net.graph.outputs = {net.graph.add_node("op", Gemm{1, 1, false, true, {}}, {net.rows, net.weights(67)})};
    const Tensor reference = ref::run(net.graph, net.tensors, ref::Precision::float64).at(0);
    for (const PrecisionCase& precision : kPrecisions) {
      const Tensor y = open_on_gpu(net.graph, precision.precision, net.force_kernel).run(net.tensors).at(0);
      for (std::size_t i = 0; i < static_cast<std::size_t>(y.size()); ++i) {
        const float got = y.data<float>()[i], wanted = static_cast<float>(reference.data<double>()[i]);
        EXPECT_TRUE(std::isnan(wanted) ? std::isnan(got) : got == wanted) << precision.name << " " << i << ": " << got << " for " << wanted;
      }
    }
  }
}

TEST_F(CudaNonzeros, OthersAreRefused) {
  struct Case {
    std::int64_t rows, inner;
    bool relu;
  };
  for (const Case& t : {Case{2, 264, true}, Case{1, 259, true}, Case{1, 264, false}}) {
    Net net(wins::Shape{t.rows, t.inner});
    const ValueId rows = net.graph.add_node("before", Unary{{t.relu ? UnaryKind::relu : UnaryKind::tanh, 0, 0}}, {net.x});
    net.graph.outputs = {net.graph.add_node("op", Gemm{1, 1, false, true, {}}, {rows, net.constant(wins::Shape{67, t.inner})})};
    EXPECT_NE(kernel_of(net.plan(), "op"), "cuda:nonzeros") << t.rows << " rows of " << t.inner;
  }
}

TEST_F(CudaNonzeros, LargeLayersTakeIt) {
  Net net(constant_row(4096, 1));
  const ValueId rows = net.graph.add_node("before", Unary{{UnaryKind::relu, 0, 0}}, {net.x});
  net.graph.outputs = {net.graph.add_node("op", Gemm{1, 1, false, true, {}}, {rows, net.constant(wins::Shape{4096, 4096})})};
  EXPECT_EQ(kernel_of(net.plan(), "op"), "cuda:nonzeros");
}

}  // namespace
}  // namespace wins::runtime::cuda_test
