// Every operator between blocked layers against the float64 reference: a 1x1 convolution makes the
// blocked tensor, the operator follows.
#include "net.hpp"

namespace wins::runtime::cpu_test {
namespace {

using namespace graph;

/// Channel counts that fill blocks, and that do not.
const std::int64_t kChannels[] = {32, 19, 5};

TEST(Operators, Convolutions) {
  struct Case {
    std::int64_t c, k, kernel, stride, dilation, group, pad;
  };
  for (const Case& t : {Case{32, 32, 3, 2, 1, 1, 1},
                        {19, 21, 5, 1, 1, 1, 2},
                        {32, 48, 1, 2, 1, 1, 0},
                        {16, 16, 3, 1, 2, 1, 2},
                        {32, 32, 3, 1, 1, 32, 1},
                        {19, 19, 3, 2, 1, 19, 1},
                        {32, 64, 3, 1, 1, 4, 1},
                        {12, 18, 3, 1, 1, 3, 1},
                        {32, 64, 3, 1, 1, 2, 0},
                        {5, 7, 7, 3, 1, 1, 3}}) {
    for (const bool residual : {false, true}) {
      Net net({2, 6, 13, 12}, t.c);
      Conv conv;
      conv.window = {{t.kernel, t.kernel},
                     {t.stride, t.stride},
                     {t.dilation, t.dilation},
                     {t.pad, t.pad, t.pad, t.pad},
                     {}};
      conv.group = t.group;
      conv.activation = {UnaryKind::relu, 0, 0};
      std::vector<ValueId> inputs{net.x, net.constant({t.k, t.c / t.group, t.kernel, t.kernel}),
                                  net.constant({t.k}, 5)};
      if (residual) {
        const std::int64_t reach = t.dilation * (t.kernel - 1) + 1;
        const std::int64_t h = (13 + 2 * t.pad - reach) / t.stride + 1,
                           w = (12 + 2 * t.pad - reach) / t.stride + 1;
        inputs.push_back(net.constant({2, t.k, h, w}, 31));
      }
      net.options.force_kernel = "cpu:direct";
      expect_kernel(net.run(conv, inputs), "cpu:direct");
    }
  }
}

TEST(Operators, ConvolutionOfFewInputChannelsReadsThePlainInput) {
  Graph graph;
  const ValueId in = graph.add_value("in", DType::f32, wins::Shape{1, 3, 33, 31});
  graph.inputs = {in};
  Conv conv;
  conv.window = {{7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}, {}};
  graph.outputs = {
      graph.add_node("op", conv, {in, graph.add_constant("w", random_normal({64, 3, 7, 7}, 1))})};
  const Result result = run_both(graph, {});
  EXPECT_LE(result.relative_l2, kBound);
  EXPECT_EQ(result.plan.layers.front().node, "op");
}

TEST(Operators, ConvTranspose) {
  for (const std::int64_t group : {1, 2}) {
    for (const std::int64_t c : {32, 10}) {
      Net net({2, 6, 7, 9}, c);
      ConvTranspose op;
      op.window = {{3, 2}, {2, 2}, {1, 1}, {1, 0, 1, 0}, {}};
      op.group = group;
      op.output_padding = {1, 0};
      expect_kernel(net.run(op, {net.x, net.constant({c, 9, 3, 2}), net.constant({9 * group}, 5)}),
                    "cpu:deconvolution");
    }
  }
}

TEST(Operators, Pools) {
  for (const std::int64_t c : kChannels) {
    for (const Pool::Kind kind : {Pool::Kind::max, Pool::Kind::average}) {
      for (const bool flag : {false, true}) {
        Pool pool{kind, {{3, 2}, {2, 2}, {1, 1}, {1, 0, 1, 0}, {}}, flag, false};
        Net net({2, 6, 14, 12}, c);
        expect_kernel(net.run(pool, {net.x}), "cpu:pooling");
        Net other({2, 6, 14, 12}, c);
        pool.ceil_mode = false;
        pool.count_include_pad = flag;
        expect_kernel(other.run(pool, {other.x}), "cpu:pooling");
      }
      Net net({2, 6, 7, 5}, c);
      expect_kernel(net.run(GlobalPool{kind}, {net.x}), "cpu:pooling");
    }
    Net net({2, 6, 7, 5}, c);
    expect_kernel(net.run(Reduce{Reduce::Kind::mean, true, false}, {net.x, net.integers({2, 3})}),
                  "cpu:pooling");
    Net dropped({2, 6, 7, 5}, c);
    dropped.run(Reduce{Reduce::Kind::mean, false, false}, {dropped.x, dropped.integers({-1, -2})});
  }
}

TEST(Operators, Unary) {
  using enum UnaryKind;
  for (const std::int64_t c : kChannels) {
    for (const UnaryKind kind :
         {identity, relu,      clip,     leaky_relu, sigmoid, tanh, hard_swish, hard_sigmoid, elu,   silu,
          gelu,     gelu_tanh, softplus, mish,       erf,     exp,  neg,        abs,          floor, ceil}) {
      Net net({2, 6, 5, 7}, c);
      const Activation f = kind == clip           ? Activation{kind, 0.2F, 0.6F}
                           : kind == hard_sigmoid ? Activation{kind, 0.2F, 0.5F}
                                                  : Activation{kind, 0.3F, 0};
      // A rounding function may fall on either side of an integer.
      net.run(Unary{f}, {net.x}, kind == floor || kind == ceil ? 2e-2 : 1e-5);
    }
  }
}

/// What follows the unary function reads its padded channels, which must be zero again.
TEST(Operators, PaddedChannelsStayZero) {
  for (const UnaryKind kind : {UnaryKind::sigmoid, UnaryKind::exp, UnaryKind::clip}) {
    Net net({1, 6, 5, 7}, 19);
    const ValueId y = net.graph.add_node("unary", Unary{{kind, 0.5F, 2.0F}}, {net.x});
    Conv conv;
    conv.window.kernel = {3, 3};
    conv.window.pads = {1, 1, 1, 1};
    net.run(conv, {y, net.constant({7, 19, 3, 3})}, 1e-5);
  }
}

TEST(Operators, BinaryWithBroadcast) {
  for (const std::int64_t c : kChannels) {
    const wins::Shape shapes[] = {{2, c, 5, 7}, {1, c, 1, 1}, {c, 1, 1},    {1, 1, 5, 7}, {7},
                                  {1},          {5, 1},       {2, 1, 1, 1}, {2, c, 1, 1}, {}};
    for (const wins::Shape& shape : shapes) {
      for (const BinaryKind kind :
           {BinaryKind::add, BinaryKind::sub, BinaryKind::mul, BinaryKind::div, BinaryKind::max}) {
        for (const bool first : {false, true}) {
          Net net({2, 6, 5, 7}, c);
          Tensor values = random_normal(shape, 21);
          for (float& v : values.mutable_data<float>())
            v += v < 0 ? -0.5F : 0.5F;  // no division by almost zero
          const ValueId other = net.graph.add_constant("other", values);
          const ValueId x = net.graph.add_node("exp", Unary{{UnaryKind::exp, 0, 0}}, {net.x});
          const std::vector<ValueId> inputs = first ? std::vector{other, x} : std::vector{x, other};
          expect_kernel(net.run(Binary{kind, {UnaryKind::relu, 0, 0}}, inputs), "cpu:binary");
        }
      }
    }
  }
}

TEST(Operators, BinaryOfTwoTensors) {
  for (const std::int64_t c : kChannels) {
    Net net({2, 6, 5, 7}, c);
    const ValueId a = net.graph.add_node("a", Conv{}, {net.x, net.constant({c, c, 1, 1})});
    expect_kernel(net.run(Binary{}, {net.x, a}), "cpu:binary");
    Net gate({2, 6, 5, 7}, c);  // squeeze and excite
    const ValueId mean = gate.graph.add_node("mean", GlobalPool{}, {gate.x});
    expect_kernel(gate.run(Binary{BinaryKind::mul, {}}, {gate.x, mean}), "cpu:binary");
    Net both({2, 6, 5, 7}, c);
    expect_kernel(both.run(Binary{}, {both.x, both.x}), "cpu:binary");
  }
}

TEST(Operators, BatchNorm) {
  for (const std::int64_t c : kChannels) {
    Net net({2, 6, 5, 7}, c);
    Tensor variance = random_normal({c}, 8);
    for (float& v : variance.mutable_data<float>()) v = v * v + 0.1F;
    expect_kernel(net.run(BatchNorm{}, {net.x, net.constant({c}, 1), net.constant({c}, 2),
                                        net.constant({c}, 3), net.graph.add_constant("v", variance)}),
                  "cpu:scale_shift");
  }
}

TEST(Operators, Concat) {
  for (const std::int64_t c : kChannels) {
    for (const std::int64_t other : {16, 3}) {
      for (const std::int64_t axis : {1, 2, -4}) {
        Net net({2, 6, 5, 7}, c);
        const ValueId b =
            net.graph.add_node("b", Conv{}, {net.x, net.constant({axis == 1 ? other : c, c, 1, 1})});
        expect_kernel(net.run(Concat{axis}, {b, net.x, b}), "cpu:concat");
      }
    }
  }
}

TEST(Operators, LinearLayers) {
  for (const std::int64_t n : {1, 3}) {
    for (const bool transposed : {false, true}) {
      Net net({n, 6, 1, 1}, 37);
      const ValueId flat = net.graph.add_node("flat", Flatten{1}, {net.x});
      const Gemm gemm{1.5F, 0.5F, false, transposed, {UnaryKind::relu, 0, 0}};
      const wins::Shape w = transposed ? wins::Shape{10, 37} : wins::Shape{37, 10};
      expect_kernel(net.run(gemm, {flat, net.constant(w), net.constant({10}, 4)}), "cpu:linear");
    }
    Net net({n, 6, 4, 5}, 8);
    expect_kernel(net.run(MatMul{}, {net.x, net.constant({5, 9})}), "cpu:linear");
    Net both({n, 6, 5, 5}, 8);
    expect_kernel(both.run(MatMul{}, {both.x, both.x}), "cpu:matmul");
  }
}

TEST(Operators, AlongAnAxis) {
  for (const std::int64_t c : kChannels) {
    for (const bool log : {false, true}) {
      Net net({2, 6, 5, 7}, c);
      expect_kernel(net.run(Softmax{1, log}, {net.x}, 1e-5), "cpu:softmax");
    }
    Net net({2, 6, 5, 7}, c);
    expect_kernel(net.run(Lrn{5, 1e-2F, 0.75F, 2}, {net.x}, 1e-5), "cpu:lrn");
  }
}

TEST(Operators, Reshape) {
  for (const std::int64_t c : {std::int64_t{32}, std::int64_t{20}}) {
    Net reshape({2, 6, 4, 6}, c);
    expect_kernel(reshape.run(Reshape{}, {reshape.x, reshape.integers({2, -1})}), "cpu:alias");
  }
}

/// A value that a later step still reads must survive an element-wise step.
TEST(Operators, InPlaceOnlyWhenTheInputDies) {
  Net net({1, 6, 5, 7}, 16);
  const ValueId relu = net.graph.add_node("relu", Unary{{UnaryKind::relu, 0, 0}}, {net.x});
  const ValueId sum = net.graph.add_node("sum", Binary{}, {relu, net.x});
  net.run(Binary{BinaryKind::mul, {}}, {sum, net.x});
  net.graph.outputs = {net.x, relu, sum};
  EXPECT_LE(run_both(net.graph, {}).relative_l2, kBound);
}

}  // namespace
}  // namespace wins::runtime::cpu_test
