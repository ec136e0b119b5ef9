// The refit on libtorch against the one on the CPU.
#include <gtest/gtest.h>

#include "pruning/networks.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/refit/refit.hpp"
#include "wins/training/training.hpp"

namespace wins::training {
namespace {

using pruning::testing::five_layers;

struct Case {
  const char* name;
  pruning::Method method;
  int m;
  bool batch_norm;
  winograd::Axis axis = winograd::Axis::row;
};

constexpr double kAllTiles = 1e6;

/// Both draw the same tiles, so that they have the same least-squares problems.
void expect_same(const graph::Graph& dense, const pruning::PruneConfig& config, const Shape& shape,
                 int activation_rounds, double tiles_per_weight) {
  graph::Graph pruned = dense;
  pruning::prune(pruned, config, {});
  std::vector<Tensor> batches;
  for (std::uint64_t b = 0; b < 4; ++b) batches.push_back(random_normal(shape, 3 + b));
  refit::RefitOptions options;
  options.tiles_per_weight = tiles_per_weight;
  options.activation_rounds = activation_rounds;
  options.max_iterations = 300;
  options.tolerance = 1e-6;
  options.engine = "ref";
  const refit::RefitResult want = refit::refit(pruned, dense, batches, options);
  const refit::RefitResult have = refit(pruned, dense, batches, options, "cpu");
  EXPECT_EQ(have.pictures, want.pictures);
  ASSERT_EQ(have.layers.size(), want.layers.size());
  for (std::size_t i = 0; i < want.layers.size(); ++i) {
    const refit::LayerFit &a = have.layers[i], &b = want.layers[i];
    EXPECT_EQ(a.layer, b.layer);
    EXPECT_EQ(a.refitted, b.refitted) << a.layer << ": " << a.reason << b.reason;
    EXPECT_EQ(a.tiles, b.tiles) << a.layer;
    EXPECT_NEAR(a.error_before, b.error_before, 1e-3 * b.error_before + 1e-6) << a.layer;
    EXPECT_NEAR(a.error_after, b.error_after, 1e-2 * b.error_after + 1e-6) << a.layer;
  }
  const Tensor x = random_normal(shape, 99);
  const Tensor y = forward(want.graph, {x}).at(0);
  EXPECT_LE(relative_l2(forward(have.graph, {x}).at(0), y), 1e-2);
}

class RefitOnTorch : public ::testing::TestWithParam<Case> {};

TEST_P(RefitOnTorch, GivesWhatTheCpuGives) {
  const Case c = GetParam();
  pruning::PruneConfig config;
  config.method = c.method;
  config.criterion = pruning::Criterion::l2;
  config.ratio = 0.5;
  config.m = c.m;
  config.axis = c.axis;
  expect_same(five_layers(c.batch_norm), config, {8, 3, 12, 12}, 0, kAllTiles);
  expect_same(five_layers(c.batch_norm), config, {8, 3, 12, 12}, 2, kAllTiles);
  expect_same(five_layers(c.batch_norm), config, {8, 3, 12, 12}, 2, 3);
}

INSTANTIATE_TEST_SUITE_P(
    Methods, RefitOnTorch,
    ::testing::Values(Case{"wins", pruning::Method::wins, 2, true}, Case{"wins_folded", pruning::Method::wins, 2, false},
                      Case{"wins_m4", pruning::Method::wins, 4, true}, Case{"fp", pruning::Method::fp, 2, true},
                      Case{"wwp", pruning::Method::wwp, 2, true},
                      Case{"column", pruning::Method::wins, 2, true, winograd::Axis::column}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(RefitOnTorch, ColumnsOfPointwiseLayers) {
  for (const bool batch_norm : {false, true}) {
    const graph::Graph dense = pruning::testing::chain(3, 12, {{"stem", 8, 3, 1, batch_norm},
                                                               {"first", 20, 1, 1, batch_norm},
                                                               {"a", 12, 3, 1, batch_norm},
                                                               {"down", 24, 1, 2, batch_norm}});
    pruning::PruneConfig config;
    config.method = pruning::Method::wins;
    config.criterion = pruning::Criterion::l2;
    config.columns = pruning::ColumnPruning{0.5, 16, true};
    expect_same(dense, config, {8, 3, 12, 12}, 0, kAllTiles);
    expect_same(dense, config, {8, 3, 12, 12}, 2, 3);
  }
}

TEST(RefitOnTorch, ResidualNetworkWithOddSizes) {
  graph::ZooOptions zoo;
  zoo.classes = 10;
  zoo.height = zoo.width = 17;
  pruning::PruneConfig config;
  config.method = pruning::Method::wins;
  config.criterion = pruning::Criterion::l2;
  config.ratio = 0.7;
  expect_same(graph::zoo("resnet8", zoo), config, {8, 3, 17, 17}, 2, kAllTiles);
}

}  // namespace
}  // namespace wins::training
