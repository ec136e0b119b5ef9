// Every pass: the graph it leaves computes the same function, and has the nodes it promises.
#include "wins/graph/passes.hpp"

#include "builders.hpp"

namespace wins::graph {
namespace {

/// Writes graphs with random weights.
class Net {
 public:
  explicit Net(wins::Shape input = {2, 4, 7, 9}) {
    graph.inputs = {graph.add_value("x", DType::f32, std::move(input))};
    x = graph.inputs[0];
  }

  ValueId weight(const std::string& name, const wins::Shape& shape, float deviation = 0.3F) {
    return graph.add_constant(name, random_normal(shape, ++seed_, deviation));
  }
  ValueId positive(const std::string& name, std::int64_t size) {
    Tensor t = random_normal({size}, ++seed_);
    for (float& v : t.mutable_data<float>()) v = 0.5F + std::abs(v);
    return graph.add_constant(name, t);
  }
  ValueId conv(const std::string& name, ValueId in, std::int64_t k, std::int64_t c = 4, bool bias = false) {
    Conv op;
    op.window = window(3, 1, 1);
    std::vector<ValueId> inputs = {in, weight(name + ".w", {k, c, 3, 3})};
    if (bias) inputs.push_back(weight(name + ".b", {k}));
    return graph.add_node(name, op, inputs);
  }
  ValueId batch_norm(const std::string& name, ValueId in, std::int64_t size) {
    return graph.add_node(name, BatchNorm{1e-3F, 0.9F},
                          {in, weight(name + ".s", {size}, 1), weight(name + ".h", {size}, 1),
                           weight(name + ".m", {size}, 1), positive(name + ".v", size)});
  }
  ValueId unary(const std::string& name, UnaryKind kind, ValueId in, float alpha = 0, float beta = 0) {
    return graph.add_node(name, Unary{{kind, alpha, beta}}, {in});
  }
  ValueId binary(const std::string& name, BinaryKind kind, ValueId a, ValueId b) {
    return graph.add_node(name, Binary{kind, {}}, {a, b});
  }
  Graph& finish(const std::vector<ValueId>& outputs) {
    graph.outputs = outputs;
    infer_shapes(graph);
    validate(graph);
    return graph;
  }

  Graph graph;
  ValueId x;

 private:
  std::uint64_t seed_ = 0;
};

const std::vector<wins::Shape> kInput = {{2, 4, 7, 9}};

/// Runs the pass on a copy, compares, and returns the copy without leftovers.
template <class Pass>
Graph checked(const Graph& original, Pass&& pass, int expected_count, double bound = 1e-6,
              const std::vector<wins::Shape>& shapes = kInput) {
  Graph graph = original;
  EXPECT_EQ(pass(graph), expected_count) << ops_of(original);
  validate(graph);
  remove_unused(graph);
  expect_same(graph, original, shapes, bound);
  return graph;
}

TEST(FoldBatchNorm, IntoConvWithAndWithoutBias) {
  for (const bool bias : {false, true}) {
    Net net;
    const Graph graph = net.finish({net.batch_norm("bn", net.conv("conv", net.x, 6, 4, bias), 6)});
    const Graph folded = checked(graph, fold_batch_norm, 1);
    EXPECT_EQ(ops_of(folded), "Conv");
    EXPECT_EQ(folded.nodes[0].name, "conv");
    EXPECT_EQ(folded.value(folded.outputs[0]).name, "bn");
  }
}

TEST(FoldBatchNorm, IntoGroupedConvAndConvTranspose) {
  Net net;
  Conv conv;
  conv.window = window(3, 2, 1);
  conv.group = 2;
  ValueId y = net.graph.add_node("conv", conv, {net.x, net.weight("w", {6, 2, 3, 3})});
  y = net.batch_norm("bn1", y, 6);
  ConvTranspose transpose;
  transpose.window = window(3, 2, 1);
  transpose.group = 3;
  y = net.graph.add_node("transpose", transpose, {y, net.weight("v", {6, 2, 3, 3}), net.weight("b", {6})});
  const Graph graph = net.finish({net.batch_norm("bn2", y, 6)});
  EXPECT_EQ(ops_of(checked(graph, fold_batch_norm, 2)), "Conv ConvTranspose");
}

TEST(FoldBatchNorm, IntoWinogradConv) {
  for (const int m : {2, 4}) {
    Net net;
    Graph graph = net.finish({net.batch_norm("bn", net.conv("conv", net.x, 6, 4, true), 6)});
    to_winograd(graph, "conv", m);
    EXPECT_EQ(ops_of(checked(graph, fold_batch_norm, 1)), "WinogradConv");
  }
}

TEST(FoldBatchNorm, IntoGemm) {
  for (const bool trans_b : {false, true}) {
    for (const int bias : {0, 1, 2}) {  // none, [N], scalar
      Net net({5, 4});
      Gemm gemm;
      gemm.trans_b = trans_b;
      gemm.alpha = 0.5F;
      gemm.beta = 2;
      std::vector<ValueId> inputs = {net.x, net.weight("w", trans_b ? wins::Shape{6, 4} : wins::Shape{4, 6})};
      if (bias > 0) inputs.push_back(net.weight("b", bias == 1 ? wins::Shape{6} : wins::Shape{}));
      const Graph graph = net.finish({net.batch_norm("bn", net.graph.add_node("gemm", gemm, inputs), 6)});
      EXPECT_EQ(ops_of(checked(graph, fold_batch_norm, 1, 1e-6, {{5, 4}})), "Gemm");
    }
  }
}

TEST(FoldBatchNorm, SharedWeightsStayRightForTheOtherConv) {
  Net net;
  const ValueId a = net.conv("a", net.x, 4);
  Node twin = net.graph.nodes[0];
  const ValueId b = net.graph.add_node("b", twin.op, {net.x, twin.inputs[1]});
  const Graph graph = net.finish({net.binary("sum", BinaryKind::mul, net.batch_norm("bn", a, 4), b)});
  checked(graph, fold_batch_norm, 1);
}

TEST(FoldBatchNorm, LeavesWhatItMust) {
  Net other_reader;
  ValueId y = other_reader.conv("conv", other_reader.x, 4);
  ValueId bn = other_reader.batch_norm("bn", y, 4);
  checked(other_reader.finish({other_reader.binary("sum", BinaryKind::mul, bn, y)}), fold_batch_norm, 0);
  Net output;
  y = output.conv("conv", output.x, 4);
  bn = output.batch_norm("bn", y, 4);
  checked(output.finish({bn, y}), fold_batch_norm, 0);
  Net pre_activation;
  bn = pre_activation.batch_norm("bn", pre_activation.x, 4);
  checked(pre_activation.finish({pre_activation.conv("conv", bn, 4)}), fold_batch_norm, 0);
  Net activated;
  y = activated.unary("relu", UnaryKind::relu, activated.conv("conv", activated.x, 4));
  checked(activated.finish({activated.batch_norm("bn", y, 4)}), fold_batch_norm, 0);
}

TEST(Epilogues, BiasResidualActivation) {
  Net net;
  ValueId y = net.conv("conv", net.x, 4, 4, true);
  y = net.binary("bias", BinaryKind::add, net.weight("k", {4, 1, 1}), y);
  y = net.binary("minus", BinaryKind::sub, y, net.weight("scalar", {}));
  y = net.binary("residual", BinaryKind::add, net.x, y);
  y = net.unary("act", UnaryKind::leaky_relu, y, 0.1F);
  const Graph fused = checked(net.finish({y}), fuse_epilogues, 4);
  EXPECT_EQ(ops_of(fused), "Conv");
  EXPECT_EQ(fused.nodes[0].name, "conv");
  EXPECT_EQ(fused.nodes[0].as<Conv>()->activation.kind, UnaryKind::leaky_relu);
}

TEST(Epilogues, WinogradGemmAndTransposeTakeTheirs) {
  Net net;
  ValueId y = net.binary("add", BinaryKind::add, net.conv("conv", net.x, 4), net.x);
  Graph graph = net.finish({net.unary("relu", UnaryKind::relu, y)});
  to_winograd(graph, "conv", 2);
  EXPECT_EQ(ops_of(checked(graph, fuse_epilogues, 2)), "WinogradConv");

  Net dense({3, 4});
  Gemm gemm;
  gemm.alpha = 0.5F;
  gemm.beta = 3;
  y = dense.graph.add_node("gemm", gemm, {dense.x, dense.weight("w", {4, 6}), dense.weight("b", {1, 6})});
  y = dense.binary("bias", BinaryKind::add, y, dense.weight("c", {6}));
  checked(dense.finish({dense.unary("relu", UnaryKind::relu, y)}), fuse_epilogues, 2, 1e-6, {{3, 4}});

  Net up;
  ConvTranspose transpose;
  transpose.window = window(2, 2);
  y = up.graph.add_node("up", transpose, {up.x, up.weight("w", {4, 3, 2, 2})});
  y = up.binary("bias", BinaryKind::add, y, up.weight("c", {1, 3, 1, 1}));
  EXPECT_EQ(ops_of(checked(up.finish({up.unary("relu", UnaryKind::relu, y)}), fuse_epilogues, 1)),
            "ConvTranspose Relu");
}

TEST(Epilogues, TheLaterConvolutionTakesTheResidual) {
  for (const bool swapped : {false, true}) {
    Net net;
    const ValueId a = net.conv("a", net.x, 4), b = net.conv("b", net.x, 4);
    const ValueId sum =
        swapped ? net.binary("sum", BinaryKind::add, b, a) : net.binary("sum", BinaryKind::add, a, b);
    const Graph fused = checked(net.finish({net.unary("relu", UnaryKind::relu, sum)}), fuse_epilogues, 2);
    ASSERT_EQ(ops_of(fused), "Conv Conv");
    EXPECT_EQ(fused.nodes[1].name, "b");
    EXPECT_EQ(fused.nodes[1].input(3), fused.nodes[0].outputs[0]);
  }
}

TEST(Epilogues, AnEarlyConvolutionMovesBehindItsResidual) {
  Net net;
  const ValueId a = net.conv("a", net.x, 4);
  const ValueId late = net.unary("late", UnaryKind::exp, net.x);
  const Graph fused = checked(net.finish({net.binary("sum", BinaryKind::add, a, late)}), fuse_epilogues, 1);
  EXPECT_EQ(ops_of(fused), "Exp Conv");
}

TEST(Epilogues, ActivationsOfAnAddOfTwoOthers) {
  Net net;
  const ValueId sum = net.binary("sum", BinaryKind::add, net.unary("e", UnaryKind::exp, net.x), net.x);
  const Graph fused = checked(net.finish({net.unary("relu", UnaryKind::relu, sum)}), fuse_epilogues, 1);
  EXPECT_EQ(ops_of(fused), "Exp Add");
}

TEST(Epilogues, NeverAcrossOutputsOtherReadersOrBroadcasts) {
  Net output;
  ValueId y = output.conv("conv", output.x, 4);
  checked(output.finish({output.unary("relu", UnaryKind::relu, y), y}), fuse_epilogues, 0);
  Net readers;
  y = readers.conv("conv", readers.x, 4);
  const ValueId relu = readers.unary("relu", UnaryKind::relu, y);
  checked(readers.finish({readers.binary("mul", BinaryKind::mul, relu, y)}), fuse_epilogues, 0);
  Net itself;
  y = itself.conv("conv", itself.x, 4);
  checked(itself.finish({itself.binary("twice", BinaryKind::add, y, y)}), fuse_epilogues, 0);
  Net wide;  // [9] runs along the width, not the channels
  checked(
      wide.finish({wide.binary("add", BinaryKind::add, wide.conv("conv", wide.x, 4), wide.weight("c", {9}))}),
      fuse_epilogues, 0);
  Net flipped;  // constant - conv
  checked(flipped.finish({flipped.binary("sub", BinaryKind::sub, flipped.weight("c", {4, 1, 1}),
                                         flipped.conv("conv", flipped.x, 4))}),
          fuse_epilogues, 0);
  Net slope;
  y = slope.conv("conv", slope.x, 4);
  checked(slope.finish({slope.graph.add_node("prelu", PRelu{}, {y, slope.weight("s", {4, 1, 1})})}),
          fuse_epilogues, 0);
  Net after;  // the activation comes before the add
  y = after.unary("relu", UnaryKind::relu, after.conv("conv", after.x, 4));
  EXPECT_EQ(
      ops_of(checked(after.finish({after.binary("add", BinaryKind::add, y, after.x)}), fuse_epilogues, 1)),
      "Conv Add");
  Net pooled;
  const ValueId mean = pooled.graph.add_node("mean", GlobalPool{}, {pooled.x});
  checked(pooled.finish({pooled.binary("add", BinaryKind::add, pooled.conv("conv", pooled.x, 4), mean)}),
          fuse_epilogues, 0);
}

TEST(Epilogues, DynamicExtentsAreCompared) {
  Net same({-1, 4, -1, -1});
  checked(same.finish({same.binary("add", BinaryKind::add, same.conv("conv", same.x, 4), same.x)}),
          fuse_epilogues, 1);
  // A second input may broadcast: nothing says that its extents are the first one's.
  Net two({-1, 4, -1, -1});
  const ValueId other = two.graph.add_value("other", DType::f32, wins::Shape{-1, 4, -1, 1});
  two.graph.inputs.push_back(other);
  checked(two.finish({two.binary("add", BinaryKind::add, two.conv("conv", two.x, 4), other)}), fuse_epilogues,
          0, 1e-6, {{2, 4, 7, 9}, {2, 4, 1, 1}});
}

TEST(Composite, SiluHardSwishGelu) {
  Net silu;
  ValueId gate = silu.unary("gate", UnaryKind::sigmoid, silu.x);
  EXPECT_EQ(ops_of(checked(silu.finish({silu.binary("mul", BinaryKind::mul, gate, silu.x)}),
                           fuse_composite_activations, 1)),
            "Silu");
  Net swish;
  gate = swish.unary("gate", UnaryKind::hard_sigmoid, swish.x, 1.0F / 6, 0.5F);
  EXPECT_EQ(ops_of(checked(swish.finish({swish.binary("mul", BinaryKind::mul, swish.x, gate)}),
                           fuse_composite_activations, 1)),
            "HardSwish");
  for (const bool half_first : {false, true}) {
    Net gelu;
    const auto number = [&](const char* name, float v) {
      return gelu.graph.add_constant(name, Tensor::scalar(v));
    };
    ValueId y = gelu.unary("erf", UnaryKind::erf,
                           gelu.binary("div", BinaryKind::div, gelu.x, number("s", 1.41421354F)));
    y = gelu.binary("one", BinaryKind::add, y, number("1", 1));
    const ValueId half = number("h", 0.5F);
    if (half_first)
      y = gelu.binary("mul", BinaryKind::mul, gelu.binary("half", BinaryKind::mul, gelu.x, half), y);
    else
      y = gelu.binary("half", BinaryKind::mul, gelu.binary("mul", BinaryKind::mul, gelu.x, y), half);
    EXPECT_EQ(ops_of(checked(gelu.finish({y}), fuse_composite_activations, 1)), "Gelu");
  }
}

TEST(Composite, LeavesOtherProducts) {
  Net gated;  // squeeze and excitation: the gate is of something else
  ValueId gate = gated.unary("gate", UnaryKind::sigmoid, gated.unary("e", UnaryKind::exp, gated.x));
  checked(gated.finish({gated.binary("mul", BinaryKind::mul, gate, gated.x)}), fuse_composite_activations, 0);
  Net read;
  gate = read.unary("gate", UnaryKind::sigmoid, read.x);
  checked(read.finish({read.binary("mul", BinaryKind::mul, gate, read.x), gate}), fuse_composite_activations,
          0);
}

TEST(Identities, AreDropped) {
  Net net;
  ValueId y = net.unary("id", UnaryKind::identity, net.x);
  y = net.graph.add_node("cast", Cast{DType::f32}, {y});
  y = net.graph.add_node("transpose", Transpose{{0, 1, 2, 3}}, {y});
  y = net.graph.add_node("concat", Concat{1}, {y});
  y = net.graph.add_node("pad", Pad{}, {y, net.graph.add_constant("pads", vec(Ints(8, 0)))});
  y = net.graph.add_node("reshape", Reshape{}, {y, net.graph.add_constant("shape", vec({2, 4, 7, -1}))});
  y = net.unary("relu", UnaryKind::relu, y);
  const ValueId last = net.unary("last", UnaryKind::identity, y);
  const Graph graph = checked(net.finish({last}), remove_identities, 7, 1e-12);
  EXPECT_EQ(ops_of(graph), "Relu");
  EXPECT_EQ(graph.value(graph.outputs[0]).name, "last");
}

TEST(Identities, StayWhenTheyJoinInputAndOutputOrTwoOutputs) {
  Net direct;
  EXPECT_EQ(ops_of(checked(direct.finish({direct.unary("id", UnaryKind::identity, direct.x)}),
                           remove_identities, 0, 1e-12)),
            "Identity");
  Net twice;
  const ValueId y = twice.unary("relu", UnaryKind::relu, twice.x);
  checked(twice.finish({y, twice.unary("id", UnaryKind::identity, y)}), remove_identities, 0, 1e-12);
  Net real;
  const ValueId t = real.graph.add_node("t", Transpose{{0, 1, 3, 2}}, {real.x});
  checked(real.finish({real.graph.add_node("c", Concat{0}, {t, t})}), remove_identities, 0, 1e-12);
}

TEST(Winograd, RefusalsSayWhy) {
  const auto refusal = [](const Window& w, std::int64_t group = 1) {
    Conv op;
    op.window = w;
    op.group = group;
    const Graph graph = single_node(
        op, {of_shape({1, 4, 9, 9}), constant(Tensor(DType::f32, {4, 4 / group, w.kernel[0], w.kernel[1]}))});
    return winograd_refusal(graph, graph.nodes[0]);
  };
  EXPECT_EQ(refusal(window(3, 1, 1)), "");
  EXPECT_EQ(refusal(window(3, 2, 1)), "stride 2x2");
  EXPECT_EQ(refusal(window(1)), "kernel 1x1");
  EXPECT_EQ(refusal(window(3, 1, 1, 2)), "dilation 2x2");
  EXPECT_EQ(refusal(window(3, 1, 1), 4), "group 4");
  EXPECT_EQ(refusal(window(3, 1, -1)), "negative pad -1");
  Conv op;
  op.window = window(3);
  const Graph dynamic = single_node(op, {of_shape({1, 4, 9, 9}), of_shape({4, 4, 3, 3})});
  EXPECT_EQ(winograd_refusal(dynamic, dynamic.nodes[0]), "weights are not constant");
  Graph graph = dynamic;
  EXPECT_NE(error_of([&] { to_winograd(graph, "node", 2); }).find("weights are not constant"),
            std::string::npos);
  EXPECT_NE(error_of([&] { to_winograd(graph, "nothing", 2); }).find("'nothing'"), std::string::npos);
}

class WinogradForms : public testing::TestWithParam<std::tuple<int, wins::Shape>> {};

TEST_P(WinogradForms, EqualTheConvolutionConcreteAndDynamic) {
  const auto& [m, shape] = GetParam();
  for (const bool dynamic : {false, true}) {
    Net net(dynamic ? wins::Shape{-1, 4, -1, -1} : shape);
    Conv op;
    op.window = window(3);
    op.window.pads = {1, 0, 2, 1};
    ValueId y = net.graph.add_node("conv", op, {net.x, net.weight("w", {5, 4, 3, 3}), net.weight("b", {5})});
    Conv pointwise;
    pointwise.window.pads = {1, 0, 0, 0};  // same extents as the first: H + 1, W - 1
    pointwise.window.kernel = {1, 2};
    y = net.binary("add", BinaryKind::add, y,
                   net.graph.add_node("side", pointwise, {net.x, net.weight("v", {5, 4, 1, 2})}));
    const Graph graph = net.finish({net.unary("relu", UnaryKind::relu, y)});
    Graph winograd = graph;
    to_winograd(winograd, "conv", m);
    const double bound = m == 2 ? 1e-6 : m == 4 ? 1e-5 : 1e-4;
    expect_same(winograd, graph, {shape}, bound);
    Graph portable = winograd;
    to_portable(portable);
    EXPECT_EQ(ops_of(portable).find("Winograd"), std::string::npos);
    expect_same(portable, winograd, {shape}, 1e-6);
    // Residual and activation carried by the node, and stated again as nodes of their own.
    Graph fused = winograd;
    EXPECT_EQ(fuse_epilogues(fused), 2);
    Graph unfused = fused;
    to_portable(unfused);
    expect_same(unfused, winograd, {shape}, 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, WinogradForms,
                         testing::Combine(testing::Values(2, 4, 6),
                                          testing::Values(wins::Shape{2, 4, 7, 9}, wins::Shape{1, 4, 8, 6},
                                                          wins::Shape{1, 4, 11, 13},
                                                          wins::Shape{1, 4, 3, 4})));

TEST(Winograd, PrunedRowsStayPrunedInThePortableForm) {
  Net net;
  Graph graph = net.finish({net.conv("conv", net.x, 5)});
  to_winograd(graph, "conv", 2);
  auto& mask = graph.nodes[0].as<WinogradConv>()->mask;
  Tensor& U = *graph.value(graph.nodes[0].inputs[1]).constant;
  for (std::size_t row = 0; row < mask.keep.size(); row += 3) {
    mask.keep[row] = 0;
    for (std::size_t c = 0; c < 4; ++c) U.mutable_data<float>()[row * 4 + c] = 0;
  }
  Graph portable = graph;
  to_portable(portable);
  expect_same(portable, graph, kInput, 1e-6);
}

TEST(Winograd, SharedWeightsAreLeftToTheOtherReader) {
  Net net;
  const ValueId a = net.conv("a", net.x, 4);
  const Node twin = net.graph.nodes[0];
  const ValueId b = net.graph.add_node("b", twin.op, {net.x, twin.inputs[1]});
  const Graph graph = net.finish({net.binary("mul", BinaryKind::mul, a, b)});
  Graph winograd = graph;
  to_winograd(winograd, "a", 2);
  EXPECT_EQ(ops_of(winograd), "WinogradConv Conv Mul");
  expect_same(winograd, graph, kInput);
}

TEST(Optimize, KeepsAResidualNetworkAndItsNames) {
  Net net({-1, 4, -1, -1});
  ValueId y = net.unary("relu1", UnaryKind::relu, net.batch_norm("bn1", net.conv("conv1", net.x, 4), 4));
  y = net.batch_norm("bn2", net.conv("conv2", y, 4), 4);
  y = net.unary("relu2", UnaryKind::relu, net.binary("add", BinaryKind::add, y, net.x));
  const Graph graph = net.finish({net.unary("id", UnaryKind::identity, y)});
  Graph optimised = graph;
  optimize_for_inference(optimised);
  EXPECT_EQ(ops_of(optimised), "Conv Conv");
  EXPECT_NE(optimised.find_node("conv1"), nullptr);
  EXPECT_NE(optimised.find_node("conv2"), nullptr);
  expect_same(optimised, graph, kInput);
}

}  // namespace
}  // namespace wins::graph
