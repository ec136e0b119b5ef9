// The graph in libtorch against the reference runtime in float64: operator by operator, and whole
// networks, dense and pruned.
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/runtime/ref/ref.hpp"
#include "wins/training/training.hpp"

namespace wins::training {
namespace {

using graph::Graph;
using graph::Op;
using Rest = std::vector<std::optional<Tensor>>;
constexpr double kBound = 1e-5;

Tensor ints(const std::vector<std::int64_t>& values) {
  return Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}

/// One node that reads the graph's input and constants; absent ones are nothing.
Graph single(Op op, const Shape& shape, const Rest& rest, std::size_t outputs = 1) {
  Graph graph;
  graph.inputs = {graph.add_value("x", DType::f32, shape)};
  std::vector<graph::ValueId> inputs = graph.inputs;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    inputs.push_back(rest[i] ? graph.add_constant("c" + std::to_string(i), *rest[i]) : graph::kNone);
  }
  graph::Node node{"node", std::move(op), inputs, {}};
  for (std::size_t i = 0; i < outputs; ++i)
    node.outputs.push_back(graph.add_value("y" + std::to_string(i), DType::f32));
  graph.outputs = node.outputs;
  graph.nodes.push_back(node);
  return graph;
}

void expect_like_reference(const Graph& graph, const Tensor& x, double bound = kBound) {
  const auto expected = runtime::ref::run(graph, {x}, runtime::ref::Precision::float64);
  const auto got = forward(graph, {x});
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].shape(), expected[i].shape());
    EXPECT_LT(relative_l2(got[i], expected[i]), bound);
  }
}

struct Case {
  std::string name;
  Op op;
  Shape shape;
  Rest rest;
  std::size_t outputs = 1;
};

graph::Window window(std::array<std::int64_t, 2> kernel, std::array<std::int64_t, 2> stride,
                     std::array<std::int64_t, 4> pads, std::array<std::int64_t, 2> dilation = {1, 1},
                     graph::AutoPad auto_pad = graph::AutoPad::none) {
  return {kernel, stride, dilation, pads, auto_pad};
}

Tensor normal(const Shape& shape, std::uint64_t seed = 1) {
  return random_normal(shape, seed);
}
Tensor positive(const Shape& shape) {
  Tensor t = random_normal(shape, 9);
  for (float& value : t.mutable_data<float>()) value = value * value + 0.5F;
  return t;
}

void add_convolutions(std::vector<Case>& cases) {
  using graph::Activation;
  using graph::Conv;
  using graph::ConvTranspose;
  const Activation relu{graph::UnaryKind::relu};
  cases.push_back(
      {"Conv", Conv{window({3, 3}, {1, 1}, {1, 1, 1, 1}), 1, {}}, {2, 5, 9, 7}, {normal({6, 5, 3, 3})}});
  cases.push_back({"ConvAsymmetricGroupDilation",
                   Conv{window({3, 2}, {2, 1}, {2, 0, 1, 1}, {2, 1}), 2, {}},
                   {2, 6, 11, 8},
                   {normal({4, 3, 3, 2}), normal({4})}});
  cases.push_back({"ConvSameUpper",
                   Conv{window({4, 4}, {2, 3}, {0, 0, 0, 0}, {1, 1}, graph::AutoPad::same_upper), 1, {}},
                   {1, 3, 9, 10},
                   {normal({2, 3, 4, 4})}});
  cases.push_back({"ConvFused",
                   Conv{window({3, 3}, {1, 1}, {1, 1, 1, 1}), 1, relu},
                   {2, 3, 5, 5},
                   {normal({4, 3, 3, 3}), normal({4}, 2), normal({2, 4, 5, 5}, 3)}});
  graph::WinogradConv winograd;
  winograd.mask = winograd::Mask::full(winograd::Axis::row, 16, 4, 3);
  winograd.activation = relu;
  cases.push_back({"WinogradConvFused",
                   winograd,
                   {2, 3, 7, 5},
                   {normal({16, 4, 3}), normal({4}, 2), normal({2, 4, 7, 5}, 3)}});
  cases.push_back({"ConvTranspose",
                   ConvTranspose{window({3, 3}, {2, 2}, {1, 1, 1, 1}), 1, {1, 1}, {}},
                   {2, 4, 5, 6},
                   {normal({4, 3, 3, 3}), normal({3}, 2)}});
  cases.push_back({"ConvTransposeGroupAsymmetric",
                   ConvTranspose{window({2, 3}, {3, 1}, {0, 1, 1, 2}, {1, 2}), 2, {2, 0}, {}},
                   {1, 4, 4, 6},
                   {normal({4, 2, 2, 3})}});
  cases.push_back({"ConvTransposeOutputShape",
                   ConvTranspose{window({3, 3}, {2, 2}, {0, 0, 0, 0}), 1, {0, 0}, {10, 9}},
                   {1, 2, 5, 5},
                   {normal({2, 3, 3, 3})}});
  cases.push_back(
      {"Gemm", graph::Gemm{0.5F, 2.0F, false, true, relu}, {3, 5}, {normal({4, 5}), normal({4}, 2)}});
  cases.push_back({"MatMul", graph::MatMul{}, {2, 3, 5}, {normal({5, 4})}});
}

void add_windows(std::vector<Case>& cases) {
  using graph::Pool;
  for (const bool ceil : {false, true}) {
    const std::string suffix = ceil ? "Ceil" : "Floor";
    cases.push_back({"MaxPool" + suffix,
                     Pool{Pool::Kind::max, window({3, 2}, {2, 3}, {1, 0, 0, 1}), ceil, false},
                     {2, 3, 8, 9},
                     {}});
    cases.push_back({"AveragePool" + suffix,
                     Pool{Pool::Kind::average, window({3, 3}, {2, 2}, {1, 1, 1, 1}), ceil, false},
                     {2, 3, 8, 7},
                     {}});
    cases.push_back({"AveragePoolPadCounts" + suffix,
                     Pool{Pool::Kind::average, window({3, 3}, {2, 2}, {1, 0, 0, 1}), ceil, true},
                     {2, 3, 8, 7},
                     {}});
  }
  cases.push_back({"MaxPoolDilated",
                   Pool{Pool::Kind::max, window({2, 2}, {1, 1}, {0, 0, 0, 0}, {2, 3}), false, false},
                   {1, 2, 6, 7},
                   {}});
  cases.push_back({"AveragePoolDilated",
                   Pool{Pool::Kind::average, window({2, 2}, {1, 1}, {1, 1, 1, 1}, {2, 2}), false, false},
                   {1, 2, 6, 7},
                   {}});
  cases.push_back(
      {"MaxPoolSameLower",
       Pool{Pool::Kind::max, window({2, 2}, {2, 2}, {0, 0, 0, 0}, {1, 1}, graph::AutoPad::same_lower), false,
            false},
       {1, 2, 5, 5},
       {}});
  cases.push_back({"GlobalAverage", graph::GlobalPool{Pool::Kind::average}, {2, 3, 4, 5}, {}});
  cases.push_back({"GlobalMax", graph::GlobalPool{Pool::Kind::max}, {2, 3, 4, 5}, {}});
}

void add_elementwise(std::vector<Case>& cases) {
  using graph::UnaryKind;
  for (int kind = 0; kind <= static_cast<int>(UnaryKind::ceil); ++kind) {
    const auto unary = static_cast<UnaryKind>(kind);
    if (unary == UnaryKind::log || unary == UnaryKind::sqrt) continue;  // negative inputs
    const bool clip = unary == UnaryKind::clip;
    cases.push_back({"Unary" + std::to_string(kind),
                     graph::Unary{{unary, clip ? -0.5F : 0.2F, clip ? 0.7F : 0.5F}},
                     {2, 3, 5},
                     {}});
  }
  for (int kind = 0; kind <= static_cast<int>(graph::BinaryKind::max); ++kind) {
    const auto binary = static_cast<graph::BinaryKind>(kind);
    if (binary == graph::BinaryKind::pow) continue;
    cases.push_back(
        {"Binary" + std::to_string(kind), graph::Binary{binary, {}}, {2, 3, 5}, {positive({3, 1})}});
  }
  cases.push_back({"Pow", graph::Binary{graph::BinaryKind::pow, {}}, {2, 3}, {Tensor::scalar(2.0F)}});
  cases.push_back({"PRelu", graph::PRelu{}, {2, 3, 4, 4}, {normal({3, 1, 1})}});
  cases.push_back({"BatchNorm",
                   graph::BatchNorm{1e-3F, 0.9F},
                   {2, 3, 4, 4},
                   {normal({3}), normal({3}, 2), normal({3}, 3), positive({3})}});
  cases.push_back(
      {"LayerNorm", graph::LayerNorm{-2, 1e-5F}, {2, 3, 4, 5}, {normal({4, 5}), normal({4, 5}, 2)}});
  cases.push_back({"LrnOdd", graph::Lrn{5, 0.1F, 0.75F, 1}, {2, 7, 3, 3}, {}});
  cases.push_back({"LrnEven", graph::Lrn{4, 0.1F, 0.5F, 2}, {2, 6, 3, 3}, {}});
  cases.push_back({"Softmax", graph::Softmax{1, false}, {2, 5, 3}, {}});
  cases.push_back({"LogSoftmax", graph::Softmax{-1, true}, {2, 5}, {}});
  using Kind = graph::Reduce::Kind;
  for (const Kind kind : {Kind::mean, Kind::sum, Kind::max, Kind::min, Kind::l2}) {
    cases.push_back({"Reduce" + std::to_string(static_cast<int>(kind)),
                     graph::Reduce{kind, kind != Kind::sum, false},
                     {2, 3, 4, 5},
                     {ints({-1, 1})}});
  }
  cases.push_back({"ReduceAll", graph::Reduce{Kind::mean, true, false}, {2, 3, 4}, {}});
}

void add_movement(std::vector<Case>& cases) {
  using Mode = graph::Pad::Mode;
  cases.push_back({"Flatten", graph::Flatten{2}, {2, 3, 4, 5}, {}});
  cases.push_back({"Reshape", graph::Reshape{false}, {2, 3, 4}, {ints({0, -1})}});
  cases.push_back({"Squeeze", graph::Squeeze{}, {2, 1, 4, 1}, {ints({1, -1})}});
  cases.push_back({"Unsqueeze", graph::Unsqueeze{}, {2, 4}, {ints({0, 3})}});
  cases.push_back({"Transpose", graph::Transpose{{2, 0, 1}}, {2, 3, 4}, {}});
  cases.push_back({"Concat", graph::Concat{1}, {2, 3, 4}, {normal({2, 2, 4})}});
  cases.push_back({"Split", graph::Split{-1}, {2, 7}, {ints({3, 4})}, 2});
  cases.push_back(
      {"Slice", graph::Slice{}, {5, 6, 7}, {ints({1, -5}), ints({9, -1}), ints({0, -1}), ints({2, 3})}});
  cases.push_back(
      {"SliceBackwards", graph::Slice{}, {5, 6}, {ints({-1}), ints({-100}), ints({1}), ints({-2})}});
  cases.push_back({"PadConstant",
                   graph::Pad{Mode::constant},
                   {2, 3, 4},
                   {ints({0, 1, -1, 2, 0, 3}), Tensor::scalar(1.5F)}});
  cases.push_back(
      {"PadAxes", graph::Pad{Mode::constant}, {2, 3, 4}, {ints({1, 2}), std::nullopt, ints({-1})}});
  for (const Mode mode : {Mode::reflect, Mode::edge, Mode::wrap}) {
    cases.push_back({"Pad" + std::to_string(static_cast<int>(mode)),
                     graph::Pad{mode},
                     {1, 2, 5, 6},
                     {ints({0, 0, 2, 1, 0, 0, 1, 3})}});
  }
  cases.push_back({"Gather", graph::Gather{1}, {2, 5, 3}, {ints({4, 0, -1})}});
  cases.push_back({"Expand", graph::Expand{}, {2, 1, 3}, {ints({2, 4, 1})}});
  for (const bool crd : {false, true}) {
    cases.push_back(
        {crd ? "DepthToSpaceCrd" : "DepthToSpaceDcr", graph::DepthToSpace{2, crd}, {2, 8, 3, 4}, {}});
  }
  cases.push_back({"SpaceToDepth", graph::SpaceToDepth{2}, {2, 3, 4, 6}, {}});
}

void add_resize(std::vector<Case>& cases) {
  using graph::Resize;
  const Tensor scales = Tensor::of<float>({4}, {1, 1, 1.6F, 2.5F});
  for (int mode = 0; mode < 3; ++mode) {
    for (int coordinate = 0; coordinate < 5; ++coordinate) {
      Resize op;
      op.mode = static_cast<Resize::Mode>(mode);
      op.coordinate = static_cast<Resize::Coordinate>(coordinate);
      op.nearest = static_cast<Resize::Nearest>(coordinate % 4);
      const std::string name = "Resize" + std::to_string(mode) + std::to_string(coordinate);
      cases.push_back({name + "Scales", op, {1, 2, 5, 6}, {std::nullopt, scales}});
      cases.push_back({name + "Sizes", op, {1, 2, 5, 6}, {std::nullopt, std::nullopt, ints({1, 2, 3, 13})}});
    }
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_convolutions(cases);
  add_windows(cases);
  add_elementwise(cases);
  add_movement(cases);
  add_resize(cases);
  return cases;
}

class Operator : public testing::TestWithParam<Case> {};

TEST_P(Operator, EqualsTheReference) {
  const Case& c = GetParam();
  expect_like_reference(single(c.op, c.shape, c.rest, c.outputs), random_normal(c.shape, 11));
}

INSTANTIATE_TEST_SUITE_P(All, Operator, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.name; });

TEST(Executor, LogarithmAndSquareRootEqualTheReference) {
  for (const auto kind : {graph::UnaryKind::log, graph::UnaryKind::sqrt}) {
    expect_like_reference(single(graph::Unary{{kind}}, {3, 4}, {}), positive({3, 4}));
  }
}

/// A network of the zoo with batch norm statistics that are not 0 and 1.
Graph network(const std::string& arch, std::int64_t size) {
  graph::ZooOptions options;
  options.classes = 10;
  options.height = options.width = size;
  Graph graph = graph::zoo(arch, options);
  std::uint64_t seed = 0;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::BatchNorm>() == nullptr) continue;
    const Shape shape = graph.value(node.inputs[3]).constant->shape();
    graph.value(node.inputs[3]).constant = random_normal(shape, ++seed, 0.1F);
    Tensor variance = random_normal(shape, ++seed, 0.1F);
    for (float& value : variance.mutable_data<float>()) value = 1 + value * value;
    graph.value(node.inputs[4]).constant = variance;
  }
  return graph;
}

/// Every convolution that Winograd takes, with a random share of its rows pruned.
void prune_at_random(Graph& graph, double ratio) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> uniform;
  std::vector<std::string> names;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::Conv>() && graph::winograd_refusal(graph, node).empty()) names.push_back(node.name);
  }
  for (const std::string& name : names) graph::to_winograd(graph, name, 2);
  for (graph::Node& node : graph.nodes) {
    auto* op = node.as<graph::WinogradConv>();
    if (op == nullptr) continue;
    Tensor U = *graph.value(node.inputs[1]).constant;
    auto weights = U.mutable_data<float>();
    const auto width = static_cast<std::size_t>(op->mask.columns);
    for (std::size_t row = 0; row < op->mask.keep.size(); ++row) {
      if (uniform(random) >= ratio) continue;
      op->mask.keep[row] = 0;
      std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(row * width), width, 0.0F);
    }
    graph.value(node.inputs[1]).constant = U;
  }
}

class Zoo : public testing::TestWithParam<std::string> {};

TEST_P(Zoo, DensePrunedAndFusedEqualTheReference) {
  const std::int64_t size = GetParam() == "vgg16" || GetParam() == "squeezenet1_0" ? 33 : 17;
  const Tensor x = random_normal({1, 3, size, size}, 3);
  Graph graph = network(GetParam(), size);
  expect_like_reference(graph, x);
  prune_at_random(graph, 0.5);
  expect_like_reference(graph, x);
  graph::optimize_for_inference(graph);
  expect_like_reference(graph, x);
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, testing::Values("resnet8", "resnet18", "squeezenet1_0", "densenet121"));

TEST(Executor, NodesWithoutDifferentiableFormAreListedTogether) {
  Graph graph;
  graph.inputs = {graph.add_value("x", DType::f32, Shape{2, 3})};
  const auto indices = graph.add_value("i", DType::i64, Shape{2});
  graph.inputs.push_back(indices);
  const auto a = graph.add_node("first", graph::Gather{0}, {graph.inputs[0], indices});
  const auto b = graph.add_node("second", graph::Gather{1}, {a, indices});
  graph.outputs = {b};
  try {
    forward(graph, {random_normal({2, 3}, 1), ints({0, 1})});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'first'"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("'second'"), std::string::npos) << error.what();
  }
}

TEST(Executor, AnAbsentCudaDeviceIsOneClearLine) {
  try {
    forward(network("resnet8", 8), {random_normal({1, 3, 8, 8}, 1)}, "cuda");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cuda"), std::string::npos);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
  EXPECT_THROW(forward(network("resnet8", 8), {random_normal({1, 3, 8, 8}, 1)}, "tpu"), Error);
}

TEST(Executor, CudaEqualsTheCpu) {
  Graph graph = network("resnet8", 16);
  prune_at_random(graph, 0.5);
  const Tensor x = random_normal({4, 3, 16, 16}, 3);
  std::vector<Tensor> got;
  try {
    got = forward(graph, {x}, "cuda");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_LT(relative_l2(got[0], forward(graph, {x})[0]), kBound);
}

}  // namespace
}  // namespace wins::training
