#include "wins/graph/zoo.hpp"

#include <cmath>

#include "builders.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"

namespace wins::graph {
namespace {

struct Published {
  const char* name;
  std::int64_t parameters;
  double giga_macs;  ///< torchvision's documentation, 224x224
};

class Zoo : public testing::TestWithParam<Published> {};

TEST_P(Zoo, HasThePublishedParametersAndMultiplyAdds) {
  const Graph graph = specialize(zoo(GetParam().name, {}), {{1, 3, 224, 224}});
  const NetworkCost cost = count_cost(graph);
  EXPECT_EQ(cost.parameters(), GetParam().parameters);
  EXPECT_NEAR(static_cast<double>(cost.direct_macs()) / 1e9, GetParam().giga_macs, 0.006);
  EXPECT_EQ(cost.macs(), cost.direct_macs());
  EXPECT_EQ(cost.pruned_flops(), 0);
  EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "1x1000");
}

INSTANTIATE_TEST_SUITE_P(Torchvision, Zoo,
                         testing::Values(Published{"resnet18", 11689512, 1.814},
                                         Published{"resnet50", 25557032, 4.089},
                                         Published{"vgg16", 138357544, 15.470},
                                         Published{"squeezenet1_0", 1248424, 0.819},
                                         Published{"densenet121", 7978856, 2.834}),
                         [](const auto& test) { return test.param.name; });

ZooOptions small_options(std::int64_t size) {
  ZooOptions options;
  options.classes = 10;
  options.height = options.width = size;
  return options;
}

TEST(ZooSmall, OutputsAreSaneAndOptimisationKeepsThem) {
  for (const std::string& name :
       {std::string("resnet8"), std::string("resnet14"), std::string("squeezenet1_0")}) {
    const Graph graph = zoo(name, small_options(32));
    validate(graph);
    const std::vector<Tensor> y = run_random(graph, {{2, 3, 32, 32}});
    double largest = 0;
    for (const double v : y[0].data<double>()) largest = std::max(largest, std::abs(v));
    EXPECT_GT(largest, 1e-3) << name;
    EXPECT_LT(largest, 1e3) << name;
    Graph optimised = graph;
    optimize_for_inference(optimised);
    EXPECT_LT(optimised.nodes.size(), graph.nodes.size());
    expect_same(optimised, graph, {{2, 3, 32, 32}});
  }
}

TEST(ZooSmall, InputSizes) {
  for (const std::string& name : zoo_names()) {
    if (name == "vgg16") continue;
    for (const std::int64_t size : {32, 61, 64, 97}) {
      Graph graph = zoo(name, small_options(size));
      infer_shapes(graph);
      EXPECT_EQ(to_string(*graph.value(graph.outputs[0]).shape), "?x10") << name << " " << size;
      EXPECT_EQ(graph.value(graph.inputs[0]).shape->front(), -1);
    }
  }
  EXPECT_EQ(zoo("resnet18", small_options(32)).find_node("maxpool"), nullptr);
  const Graph resnet = zoo("resnet18", small_options(64));
  EXPECT_NE(resnet.find_node("maxpool"), nullptr);
  EXPECT_NE(resnet.find_node("layer1.0.conv1"), nullptr);
  EXPECT_NE(resnet.find_node("layer2.0.downsample.0"), nullptr);
}

TEST(ZooSmall, VggHeads) {
  // 256 / 32 = 8: adaptive pooling with uneven windows.
  Graph graph = zoo("vgg16", small_options(256));
  const Tensor x = random_normal({1, 2, 8, 8}, 5);
  Graph head;
  const ValueId in = head.add_value("x", DType::f32, wins::Shape{1, 2, 8, 8});
  head.inputs = {in};
  const Tensor columns = *graph.constant_input(*graph.find_node("avgpool.columns"), 1);
  const Tensor rows = *graph.constant_input(*graph.find_node("avgpool.rows"), 0);
  const ValueId c = head.add_constant("c", columns), r = head.add_constant("r", rows);
  const ValueId pooled = head.add_node("columns", MatMul{}, {in, c});
  head.outputs = {head.add_node("rows", MatMul{}, {r, pooled})};
  const Tensor y = runtime::ref::run(head, {x}, runtime::ref::Precision::float64)[0];
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = 0; j < 7; ++j) {
      // Windows of AdaptiveAvgPool2d(7) on 8: [i, i + 2).
      double mean = 0;
      for (std::size_t a : {i, i + 1}) {
        for (std::size_t b : {j, j + 1}) mean += x.data<float>()[64 + a * 8 + b] / 4.0;
      }
      EXPECT_NEAR(y.data<double>()[49 + i * 7 + j], mean, 1e-6);
    }
  }
}

TEST(ZooSmall, SeedsAndErrors) {
  const auto first_weight = [](std::uint64_t seed) {
    ZooOptions options = small_options(32);
    options.seed = seed;
    const Graph graph = zoo("resnet8", options);
    return graph.constant_input(*graph.find_node("conv1"), 1)->data<float>()[0];
  };
  EXPECT_EQ(first_weight(1), first_weight(1));
  EXPECT_NE(first_weight(1), first_weight(2));
  EXPECT_NE(error_of([] { zoo("resnet99", {}); }).find("densenet121, resnet14"), std::string::npos);
  EXPECT_NE(error_of([] { zoo("vgg16", small_options(16)); }).find("too small"), std::string::npos);
  EXPECT_NE(error_of([] { zoo("squeezenet1_0", small_options(8)); }).find("too small"), std::string::npos);
  EXPECT_NE(error_of([] { zoo("densenet121", small_options(4)); }).find("too small"), std::string::npos);
  ZooOptions negative;
  negative.classes = -1;
  EXPECT_NE(error_of([&] { zoo("resnet8", negative); }), "");
}

TEST(Cost, WinogradCountsKeptWeightsAndTiles) {
  Conv conv;
  conv.window = window(3, 1, 1);
  Graph graph = single_node(conv, {of_shape({-1, 4, 5, 7}), constant(random_normal({6, 4, 3, 3}, 1)),
                                   constant(Tensor(DType::f32, {6}))});
  to_winograd(graph, "node", 2);
  auto& mask = graph.nodes[0].as<WinogradConv>()->mask;
  for (std::size_t i = 0; i < 30; ++i) mask.keep[i] = 0;  // 30 of 96 rows of 4 weights
  const NetworkCost cost = count_cost(specialize(graph, {{3, 4, 5, 7}}));
  EXPECT_EQ(cost.nodes[0].macs, (96 - 30) * 4 * (3 * 4) * 3);
  EXPECT_EQ(cost.nodes[0].direct_macs, 3 * 6 * 5 * 7 * 4 * 9);
  EXPECT_EQ(cost.nodes[0].parameters, 66 * 4 + 6);
  EXPECT_EQ(cost.nodes[0].dense_parameters, 16 * 24 + 6);
  EXPECT_DOUBLE_EQ(cost.pruning_ratio(graph), 30.0 / 96);
  EXPECT_DOUBLE_EQ(cost.pruned_flops(), 1 - 66.0 * 4 * 12 / (6 * 35 * 36));
  EXPECT_NE(error_of([&] { count_cost(graph); }).find("'node'"), std::string::npos);
}

TEST(RandomNormal, HasTheMomentsOfANormal) {
  const Tensor x = random_normal({1 << 20}, 42, 2.0F);
  double sum = 0, squares = 0, fourth = 0, beyond = 0;
  for (const float v : x.data<float>()) {
    const double z = v / 2.0;
    sum += z, squares += z * z, fourth += z * z * z * z, beyond += std::abs(z) > 2;
  }
  const double n = 1 << 20;
  EXPECT_NEAR(sum / n, 0, 0.005);
  EXPECT_NEAR(squares / n, 1, 0.006);
  EXPECT_NEAR(fourth / n, 3, 0.05);
  EXPECT_NEAR(beyond / n, 0.0455, 0.001);
}

}  // namespace
}  // namespace wins::graph
