// Each network of the zoo, dense and pruned by each method: the CPU engine and ONNX Runtime (our operator's
// body, and the portable file) compute what the float64 reference computes.
#include <algorithm>
#include <map>
#include <set>

#include "onnxruntime_testing.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/runtime/session.hpp"

namespace wins::onnx {
namespace {

using pruning::Method;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// The smallest pictures that leave the last 3x3 convolutions something to do.
const std::map<std::string, std::int64_t> kSizes = {{"resnet8", 28},      {"resnet14", 28},   {"resnet18", 20},
                                                    {"resnet50", 16},     {"vgg16", 32},      {"squeezenet1_0", 48},
                                                    {"densenet121", 20}};

/// Elements that the standard operators of one file may unpack to with tiles over 2. They are (m p / 3)^2 times the
/// weights of the convolutions, 256 times for m = 6: 2.4 GB for a single layer of 512 x 512 channels.
constexpr std::int64_t kUnpacked = 20'000'000;

graph::Graph network(const std::string& arch) {
  graph::ZooOptions options;
  options.classes = 10;
  options.height = options.width = kSizes.at(arch);
  return graph::zoo(arch, options);
}

/// Layers that stay direct convolutions, as they would unpack to more than is left of kUnpacked. None for m = 2.
std::vector<std::string> too_large(const graph::Graph& graph, int m) {
  std::int64_t left = kUnpacked;
  std::vector<std::string> names;
  if (m == 2) return names;
  const std::vector<std::string> prunable = pruning::prunable_layers(graph);
  for (const graph::Node& node : graph.nodes) {
    if (std::find(prunable.begin(), prunable.end(), node.name) == prunable.end()) continue;
    const wins::Shape& shape = graph.constant_input(node, 1)->shape();
    const std::int64_t unpacked = shape[0] * shape[1] * m * m * (m + 2) * (m + 2);
    if (unpacked > left) names.push_back(node.name);
    else left -= unpacked;
  }
  return names;
}

/// Hooks under which every second layer turns into WINS-B: those gain time, and accuracy is free.
pruning::AbHooks alternating_hooks(std::vector<std::string> layers) {
  auto calls = std::make_shared<int>(0);
  pruning::AbHooks hooks;
  hooks.measure = [layers, calls](const graph::Graph&) {
    const bool balanced = (*calls)++ % 2 == 1;
    std::map<std::string, double> times;
    for (std::size_t i = 0; i < layers.size(); ++i) times[layers[i]] = balanced && i % 2 == 0 ? 50 : 100;
    return times;
  };
  hooks.outlook = [](const graph::Graph&) { return 0.5; };
  return hooks;
}

graph::Graph pruned(const std::string& arch, Method method, int m) {
  graph::Graph graph = network(arch);
  pruning::PruneConfig config;
  config.method = method;
  config.criterion = pruning::Criterion::l2;
  config.axis = method == Method::wwp ? winograd::Axis::element : winograd::Axis::row;
  config.ratio = 0.6;
  config.m = m;
  config.exclude = too_large(graph, m);
  if (method != Method::wins_ab) {
    pruning::prune(graph, config, {});
    return graph;
  }
  const auto decisions =
      pruning::decide_wins_ab(graph, config, {}, alternating_hooks(pruning::prunable_layers(graph)), 1.0);
  const auto is_balanced = [](const pruning::AbDecision& decision) { return decision.balanced; };
  EXPECT_TRUE(std::any_of(decisions.begin(), decisions.end(), is_balanced)) << arch;
  return graph;
}

class Zoo : public ::testing::TestWithParam<std::string> {
 protected:
  Zoo() : input_(random_normal({2, 3, kSizes.at(GetParam()), kSizes.at(GetParam())}, 4)) {}

  Tensor reference(const graph::Graph& graph) const {
    return runtime::ref::run(graph, {input_}, runtime::ref::Precision::float64)[0];
  }

  /// Returns the tiles of the Winograd kernels that ran.
  std::set<int> run_cpu(const graph::Graph& graph, const Tensor& wanted, const runtime::SessionOptions& options,
                        double bound) const {
    runtime::Session session = runtime::Session::open(graph, options);
    EXPECT_LE(relative_l2(session.run({input_})[0], wanted), bound) << GetParam();
    std::set<int> tiles;
    for (const runtime::LayerPlan& layer : session.plan({input_.shape()}).layers) {
      const std::string prefix = "cpu:winograd_f";
      if (layer.kernel.starts_with(prefix)) tiles.insert(layer.kernel.at(prefix.size()) - '0');
    }
    return tiles;
  }

  Tensor input_;
  TempFolder folder_;
};

TEST_P(Zoo, DenseConvolutions) {
  const graph::Graph graph = network(GetParam());
  const Tensor wanted = reference(graph);
  runtime::SessionOptions options;
  options.winograd = false;
  EXPECT_THAT(run_cpu(graph, wanted, options, kDirectBound), IsEmpty());
  options.winograd = true;
  for (const int m : {2, 4, 6}) {
    options.force_m = m;
    // Where a direct convolution is faster, it stays one: which layers those are depends on the machine.
    EXPECT_THAT(run_cpu(graph, wanted, options, bound_of(m)), AnyOf(IsEmpty(), ElementsAre(m)));
  }
  write_case(folder_.path(), "dense", graph, {input_, wanted, kDirectBound, Levels::both});
  expect_agreement(folder_.path());
}

/// Large networks: every method at m = 2, and the larger tiles and the portable file with one method only.
bool is_large(const graph::Graph& graph) {
  std::int64_t weights = 0;
  for (const graph::Value& value : graph.values) weights += value.constant ? value.constant->size() : 0;
  return weights > 3'000'000;
}

TEST_P(Zoo, EveryMethodAndTile) {
  const bool large = is_large(network(GetParam()));
  for (const Method method : {Method::dense, Method::wins, Method::wins_b, Method::wins_ab, Method::fp, Method::wwp}) {
    const bool whole = !large || method == Method::wins;
    for (const int m : {2, 4, 6}) {
      if (m != 2 && !whole && method != Method::dense) continue;
      const graph::Graph graph = pruned(GetParam(), method, m);
      const Tensor wanted = reference(graph);
      const std::string name = fmt::format("{}_f{}", pruning::to_string(method), m);
      EXPECT_THAT(run_cpu(graph, wanted, {}, bound_of(m)), Contains(m)) << name;
      // ONNX Runtime folds a body's constants when it optimises, which takes seconds.
      const Levels levels = large ? Levels::disabled : Levels::both;
      write_case(folder_.path(), name, graph, {input_, wanted, bound_of(m), levels});
      if (!whole) continue;
      write_case(folder_.path(), name + "_portable", graph, {input_, wanted, bound_of(m), Levels::enabled}, true);
    }
  }
  expect_agreement(folder_.path());
}

INSTANTIATE_TEST_SUITE_P(All, Zoo, ::testing::ValuesIn(graph::zoo_names()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace wins::onnx
