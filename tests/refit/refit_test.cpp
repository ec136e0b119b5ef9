// The refit of whole networks.
#include "wins/refit/refit.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "pruning/networks.hpp"
#include "wins/base/exception.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/runtime/session.hpp"

namespace wins::refit {
namespace {

using pruning::testing::five_layers;
using ::testing::HasSubstr;

std::vector<Tensor> pictures(const Shape& shape, int batches, std::uint64_t seed = 3) {
  std::vector<Tensor> result;
  for (int b = 0; b < batches; ++b)
    result.push_back(random_normal(shape, seed + static_cast<std::uint64_t>(b)));
  return result;
}

graph::Graph pruned_copy(const graph::Graph& dense, double ratio,
                         pruning::Method method = pruning::Method::wins, int m = 2) {
  graph::Graph pruned = dense;
  pruning::PruneConfig config;
  config.method = method;
  config.criterion = pruning::Criterion::l2;
  config.ratio = ratio;
  config.m = m;
  pruning::prune(pruned, config, {});
  return pruned;
}

double output_error(const graph::Graph& dense, const graph::Graph& other,
                    const std::vector<Tensor>& batches) {
  runtime::Session a = runtime::Session::open(dense), b = runtime::Session::open(other);
  double worst = 0;
  for (const Tensor& batch : batches)
    worst = std::max(worst, relative_l2(b.run({batch}).at(0), a.run({batch}).at(0)));
  return worst;
}

const LayerFit& fit_of(const RefitResult& result, const std::string& layer) {
  for (const LayerFit& fit : result.layers) {
    if (fit.layer == layer) return fit;
  }
  throw Error("no fit of " + layer);
}

struct Case {
  const char* name;
  pruning::Method method;
  int m;
  bool batch_norm;
};

class RefitOfMethod : public ::testing::TestWithParam<Case> {};

TEST_P(RefitOfMethod, LowersTheErrorOfEveryLayerAndOfTheNetwork) {
  const Case c = GetParam();
  const graph::Graph dense = five_layers(c.batch_norm);
  const graph::Graph pruned = pruned_copy(dense, 0.5, c.method, c.m);
  const std::vector<Tensor> batches = pictures({8, 3, 12, 12}, 4);
  const RefitResult result = refit(pruned, dense, batches);
  EXPECT_EQ(result.pictures, 32);
  for (const LayerFit& fit : result.layers) {
    EXPECT_TRUE(fit.refitted) << fit.layer << ": " << fit.reason;
    EXPECT_LE(fit.error_after, fit.error_before * (1 + 1e-6)) << fit.layer;
  }
  // Whole filters that are gone leave no room for the others to make up for them.
  const double factor = c.method == pruning::Method::fp ? 1.001 : 0.9;
  EXPECT_LT(fit_of(result, "a").error_after, factor * fit_of(result, "a").error_before);
  EXPECT_LT(output_error(dense, result.graph, batches), factor * output_error(dense, pruned, batches));
  // What pruning decided stays decided.
  for (const char* layer : {"a", "b", "c"}) {
    EXPECT_EQ(pruning::testing::mask_of(result.graph, layer), pruning::testing::mask_of(pruned, layer));
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, RefitOfMethod,
                         ::testing::Values(Case{"wins", pruning::Method::wins, 2, true},
                                           Case{"wins_folded", pruning::Method::wins, 2, false},
                                           Case{"wins_m4", pruning::Method::wins, 4, true},
                                           Case{"wins_b", pruning::Method::wins_b, 2, true},
                                           Case{"fp", pruning::Method::fp, 2, true},
                                           Case{"wwp", pruning::Method::wwp, 2, false}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(Refit, NothingPrunedGivesTheDenseWeightsBack) {
  const graph::Graph dense = five_layers(true);
  graph::Graph same = dense;
  for (const char* layer : {"a", "b", "c"}) graph::to_winograd(same, layer, 2);
  const std::vector<Tensor> batches = pictures({8, 3, 12, 12}, 2);
  const RefitResult result = refit(same, dense, batches);
  for (const char* layer : {"a", "b", "c"}) {
    const Tensor& before = *same.constant_input(*same.find_node(layer), 1);
    EXPECT_LE(relative_l2(*result.graph.constant_input(*result.graph.find_node(layer), 1), before), 1e-4)
        << layer;
  }
  EXPECT_LE(output_error(dense, result.graph, batches), 1e-4);
}

TEST(Refit, AnIdenticalNetworkIsLeftAlone) {
  const graph::Graph dense = five_layers(true);
  const RefitResult result = refit(dense, dense, pictures({4, 3, 12, 12}, 1));
  EXPECT_TRUE(result.layers.empty());
  EXPECT_EQ(output_error(dense, result.graph, pictures({4, 3, 12, 12}, 1)), 0);
}

TEST(Refit, ResidualNetworkGainsAndKeepsItsShapes) {
  graph::ZooOptions options;
  options.classes = 10;
  options.height = options.width = 17;
  const graph::Graph dense = graph::zoo("resnet8", options);
  const graph::Graph pruned = pruned_copy(dense, 0.7);
  const std::vector<Tensor> batches = pictures({8, 3, 17, 17}, 4);
  for (const bool residual : {false, true}) {
    RefitOptions refit_options;
    refit_options.correct_residual = residual;
    const RefitResult result = refit(pruned, dense, batches, refit_options);
    EXPECT_LT(output_error(dense, result.graph, batches), output_error(dense, pruned, batches)) << residual;
  }
}

TEST(Refit, OddPicturesDoNotBreakIt) {
  const graph::Graph dense = five_layers(true);
  const graph::Graph pruned = pruned_copy(dense, 0.6);
  const Tensor one = random_normal({1, 3, 12, 12}, 5);
  EXPECT_EQ(refit(pruned, dense, {one}).pictures, 1);
  const RefitResult twice = refit(pruned, dense, {one, one, one});
  EXPECT_EQ(twice.pictures, 3);

  Tensor grey(DType::f32, {2, 3, 12, 12});
  for (float& v : grey.mutable_data<float>()) v = 0.5F;
  const RefitResult constant = refit(pruned, dense, {grey});
  runtime::Session session = runtime::Session::open(constant.graph);
  const Tensor output = session.run({one}).at(0);
  for (const float v : output.data<float>()) EXPECT_TRUE(std::isfinite(v));
  const RefitResult black = refit(pruned, dense, {Tensor(DType::f32, {2, 3, 12, 12})});
  EXPECT_EQ(black.pictures, 2);
}

TEST(Refit, GoesOnFromWhereItStopped) {
  graph::ZooOptions zoo;
  zoo.classes = 10;
  zoo.height = zoo.width = 17;
  for (const bool batch_norm : {true, false}) {
    const graph::Graph dense = batch_norm ? graph::zoo("resnet8", zoo) : five_layers(false);
    const graph::Graph pruned = pruned_copy(dense, 0.6);
    const std::vector<Tensor> batches = pictures(batch_norm ? Shape{4, 3, 17, 17} : Shape{4, 3, 12, 12}, 3);
    std::vector<RefitResult> states;
    RefitOptions options;
    options.checkpoint = [&](const RefitResult& state) { states.push_back(state); };
    const RefitResult whole = refit(pruned, dense, batches, options);
    ASSERT_EQ(states.size(), whole.layers.size());
    const RefitResult& half = states.at(states.size() / 2);
    options.resume = &half;
    std::size_t saved = 0;
    options.checkpoint = [&](const RefitResult&) { ++saved; };
    const RefitResult resumed = refit(pruned, dense, batches, options);
    EXPECT_EQ(saved, whole.layers.size() - half.layers.size());
    ASSERT_EQ(resumed.layers.size(), whole.layers.size());
    for (std::size_t i = 0; i < whole.layers.size(); ++i)
      EXPECT_EQ(resumed.layers[i].error_after, whole.layers[i].error_after) << whole.layers[i].layer;
    EXPECT_EQ(output_error(whole.graph, resumed.graph, batches), 0);
  }
}

/// A Relu behind the layer, a residual add, a Clip: what the activation takes away need not be fitted.
TEST(Refit, ActivationRoundsLowerTheErrorBehindTheActivation) {
  const graph::Graph dense = five_layers(true);
  const graph::Graph pruned = pruned_copy(dense, 0.7);
  const std::vector<Tensor> batches = pictures({16, 3, 12, 12}, 4);
  double before = 0;
  for (const int rounds : {0, 1, 4}) {
    RefitOptions options;
    options.activation_rounds = rounds;
    const RefitResult result = refit(pruned, dense, batches, options);
    const double error = fit_of(result, "a").error_after;
    if (rounds > 0) {
      EXPECT_LT(error, before) << rounds;
    }
    before = error;
  }
}

TEST(Refit, BatchesOfAnotherSizeAreLeftOut) {
  const graph::Graph dense = five_layers();
  std::vector<Tensor> batches = pictures({4, 3, 12, 12}, 2);
  batches.push_back(random_normal({3, 3, 12, 12}, 9));
  EXPECT_EQ(refit(pruned_copy(dense, 0.5), dense, batches).pictures, 8);
}

TEST(Refit, AChannelAndALayerWithoutWeights) {
  graph::Graph dense = five_layers(true);
  // A channel that is zero in the dense network.
  Tensor weights = *dense.constant_input(*dense.find_node("a"), 1);
  std::fill_n(weights.mutable_data<float>().begin(), weights.size() / weights.dim(0), 0.0F);
  dense.value(dense.find_node("a")->inputs[1]).constant = weights;
  graph::Graph pruned = pruned_copy(dense, 0.5);
  // A layer that keeps nothing at all.
  for (graph::Node& node : pruned.nodes) {
    if (node.name != "b") continue;
    auto* conv = node.as<graph::WinogradConv>();
    std::fill(conv->mask.keep.begin(), conv->mask.keep.end(), std::uint8_t{0});
    pruned.value(node.inputs[1]).constant =
        Tensor(DType::f32, pruned.value(node.inputs[1]).constant->shape());
  }
  const RefitResult result = refit(pruned, dense, pictures({8, 3, 12, 12}, 2));
  EXPECT_THAT(fit_of(result, "b").reason, HasSubstr("no weight is left"));
  EXPECT_FALSE(fit_of(result, "b").refitted);
}

TEST(Refit, MemoryLimitTakesFewerPicturesAndLeavesLayersThatDoNotFit) {
  const graph::Graph dense = five_layers();
  const std::vector<Tensor> batches = pictures({4, 3, 12, 12}, 8);
  RefitOptions options;
  options.memory_limit = 400 * 1000;
  const RefitResult result = refit(pruned_copy(dense, 0.5), dense, batches, options);
  EXPECT_LT(result.pictures, 32);
  EXPECT_GT(result.pictures, 0);
  options.memory_limit = 10000;
  EXPECT_THAT(fit_of(refit(pruned_copy(dense, 0.5), dense, batches, options), "a").reason,
              HasSubstr("memory limit"));
}

TEST(Refit, BadInputIsNamed) {
  const graph::Graph dense = five_layers();
  const graph::Graph pruned = pruned_copy(dense, 0.5);
  std::vector<Tensor> batches = pictures({4, 3, 12, 12}, 2);
  batches[1].mutable_data<float>()[3 * 144 * 2 + 7] = std::numeric_limits<float>::quiet_NaN();
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message([&] { refit(pruned, dense, batches); }), HasSubstr("picture 6 "));
  EXPECT_THAT(message([&] { refit(pruned, dense, {}); }), HasSubstr("at least one picture"));
  const graph::Graph other =
      pruning::testing::chain(3, 12, {{"stem", 8, 3, 1, false}, {"z", 8, 3, 1, false}});
  EXPECT_THAT(message([&] { refit(pruned, other, pictures({4, 3, 12, 12}, 1)); }), HasSubstr("do not match"));
  RefitOptions options;
  options.ridge = 0;
  EXPECT_THAT(message([&] {
                refit(pruned, dense, pictures({4, 3, 12, 12}, 1), options);
              }),
              HasSubstr("ridge"));
}

}  // namespace
}  // namespace wins::refit
