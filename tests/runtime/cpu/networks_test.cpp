// Whole networks of the zoo on small pictures, dense and pruned, against the float64 reference.
#include "harness.hpp"
#include "runtime/networks.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::runtime::cpu_test {
namespace {

graph::Graph network(const std::string& name, std::int64_t size) {
  graph::ZooOptions options;
  options.classes = 10;
  options.height = options.width = size;
  graph::Graph graph = graph::zoo(name, options);
  graph::optimize_for_inference(graph);
  return graph;
}

class Networks : public testing::TestWithParam<std::pair<const char*, std::int64_t>> {};

TEST_P(Networks, DenseAndPruned) {
  const auto [name, size] = GetParam();
  graph::Graph graph = network(name, size);
  SessionOptions options;
  options.threads = 2;
  for (const bool pruned : {false, true}) {
    if (pruned) prune_randomly(graph, 30);
    const Result result = run_both(graph, options, {random_normal({1, 3, size, size}, 4)});
    EXPECT_LE(result.relative_l2, pruned ? 3e-6 : 1e-5) << name;
    for (const LayerPlan& line : result.plan.layers)
      EXPECT_FALSE(line.kernel.starts_with("ref:")) << line.node;
  }
}

TEST(Networks, DirectConvolutionAlone) {
  SessionOptions options;
  options.winograd = false;
  const Result result = run_both(network("resnet8", 28), options, {random_normal({2, 3, 28, 28}, 4)});
  EXPECT_LE(result.relative_l2, 5e-6);
  for (const LayerPlan& line : result.plan.layers)
    EXPECT_EQ(line.kernel.find("winograd"), std::string::npos) << line.node;
}

TEST(Networks, FixturesThatMoveDataNeedNoReference) {
  for (const char* name : {"unet-linear-11", "unet-nearest-10", "yolo-17", "sr-13", "classic-12"}) {
    graph::Graph graph = onnx::load(std::string(WINS_FIXTURES) + "/onnx/" + name + ".onnx");
    graph::optimize_for_inference(graph);
    std::vector<Tensor> inputs;
    for (const Shape& shape : graph::default_input_shapes(graph, 2, 32))
      inputs.push_back(random_normal(shape, 4));
    const Result result = run_both(graph, {}, inputs);
    EXPECT_LE(result.relative_l2, 1e-5) << name;
    for (const LayerPlan& line : result.plan.layers)
      EXPECT_FALSE(line.kernel.starts_with("ref:")) << name << " " << line.node << " " << line.kernel;
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Networks,
                         testing::Values(std::pair<const char*, std::int64_t>{"resnet18", 20},
                                         std::pair<const char*, std::int64_t>{"resnet50", 16},
                                         std::pair<const char*, std::int64_t>{"squeezenet1_0", 40},
                                         std::pair<const char*, std::int64_t>{"densenet121", 20},
                                         std::pair<const char*, std::int64_t>{"resnet8", 28},
                                         std::pair<const char*, std::int64_t>{"vgg16", 32}));

}  // namespace
}  // namespace wins::runtime::cpu_test
