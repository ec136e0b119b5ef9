// The refit of layers of stride 2.
#include <gtest/gtest.h>

#include <cmath>

#include "layers.hpp"
#include "moments.hpp"
#include "pruning/networks.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/refit/allocation.hpp"
#include "wins/refit/refit.hpp"
#include "wins/refit/row_scores.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::refit {
namespace {

using pruning::testing::five_layers;
using pruning::testing::mask_of;

std::vector<Tensor> pictures(int batches) {
  std::vector<Tensor> result;
  for (int b = 0; b < batches; ++b) result.push_back(random_normal({8, 3, 12, 12}, 3 + static_cast<std::uint64_t>(b)));
  return result;
}

graph::Graph pruned_copy(const graph::Graph& dense, double ratio, pruning::Method method) {
  graph::Graph pruned = dense;
  pruning::PruneConfig config;
  config.method = method;
  config.criterion = pruning::Criterion::l2;
  config.ratio = ratio;
  config.strided = true;
  pruning::prune(pruned, config, {});
  return pruned;
}

const Tensor& weights_of(const graph::Graph& graph, const std::string& layer) {
  return *graph.constant_input(*graph.find_node(layer), 1);
}

double output_error(const graph::Graph& dense, const graph::Graph& other, const Tensor& batch) {
  const auto run = [&](const graph::Graph& graph) {
    return runtime::ref::run(graph, {batch}, runtime::ref::Precision::float64).at(0);
  };
  return relative_l2(run(other), run(dense));
}

TEST(StridedRefit, MomentsMatchTheDefinition) {
  const testing::Problem problem = testing::make_problem(2, 3, 2, 2);
  const LinearLayer& layer = problem.layer;
  Moments moments(layer, 2);
  testing::gather_all(moments, layer, problem.x, problem.y);
  const testing::ExactMoments exact = testing::exact_moments(layer, problem.x, problem.y);
  const auto n = static_cast<std::size_t>(layer.positions * layer.C), C = static_cast<std::size_t>(layer.C);
  double scale = 0;
  for (std::size_t i = 0; i < n; ++i) scale = std::max(scale, exact.H[i * n + i]);
  ASSERT_GT(scale, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i / C * C; j < n; ++j) {
      const float* block = moments.block(static_cast<int>(i / C), static_cast<int>(j / C));
      const double raw = block == nullptr ? 0 : static_cast<double>(block[i % C * C + j % C]);
      EXPECT_NEAR(raw - moments.mean()[i] * moments.mean()[j], exact.H[i * n + j], 2e-5 * scale) << i << " " << j;
    }
    for (std::size_t k = 0; k < 2; ++k) {
      const std::size_t at = (i / C * 2 + k) * C + i % C;
      const double centred = static_cast<double>(moments.rhs()[at]) - moments.mean()[i] * moments.target_mean()[k];
      EXPECT_NEAR(centred, exact.rhs[k * n + i], 2e-5 * scale) << i << " " << k;
    }
  }
}

TEST(StridedRefit, AllRowsKeptGivesTheDenseWeightsBack) {
  const graph::Graph dense = five_layers(true);
  const graph::Graph same = pruned_copy(dense, 0, pruning::Method::dense);
  const RefitResult result = refit(same, dense, pictures(2));
  for (const char* layer : {"a", "b", "down", "c"}) {
    EXPECT_LE(relative_l2(weights_of(result.graph, layer), weights_of(same, layer)), 1e-4) << layer;
  }
  // Also from other weights: the least-squares problem has the dense ones as its solution.
  graph::Graph spoilt = dense;
  graph::to_winograd(spoilt, "down", 2);
  Tensor U = weights_of(spoilt, "down");
  const Tensor noise = random_normal(U.shape(), 5, 0.3F);
  for (std::size_t i = 0; i < noise.data<float>().size(); ++i) U.mutable_data<float>()[i] += noise.data<float>()[i];
  graph::set_constant_input(spoilt, "down", 1, U, "spoilt.U");
  RefitOptions options;
  options.tiles_per_weight = 1e6;
  options.max_iterations = 500;
  options.tolerance = 1e-8;
  options.ridge = 1e-7;
  const std::vector<Tensor> many = pictures(6);
  const RefitResult mended = refit(spoilt, dense, many, options);
  EXPECT_GT(output_error(dense, spoilt, many[0]), 0.05);
  EXPECT_LE(output_error(dense, mended.graph, many[0]), 2e-3);
}

// Outputs that some weights give exactly lead back to these weights, from none: the problem has no other solution.
TEST(StridedRefit, TheSolutionIsUnique) {
  testing::Problem problem = testing::make_problem(2, 3, 2, 2);
  LinearLayer& layer = problem.layer;
  problem.x.clear(), problem.y.clear();
  for (std::uint64_t batch = 0; batch < 6; ++batch) {
    problem.x.push_back(random_normal({8, 3, 11, 12}, 30 + batch));
    problem.y.emplace_back(DType::f32, Shape{8, 2, 6, 6});
  }
  const auto w = layer.weights.data<float>();
  for (const testing::Feature& f : testing::features(layer, problem.x)) {
    auto y = problem.y[static_cast<std::size_t>(f.batch)].mutable_data<float>();
    for (std::int64_t k = 0; k < 2; ++k) {
      double sum = 0;
      for (std::int64_t i = 0; i < 75; ++i) {
        sum += f.phi[static_cast<std::size_t>(i)] * static_cast<double>(w[static_cast<std::size_t>((i / 3 * 2 + k) * 3 + i % 3)]);
      }
      y[static_cast<std::size_t>(((f.picture * 2 + k) * 6 + f.h) * 6 + f.w)] = static_cast<float>(sum);
    }
  }
  const Tensor wanted = layer.weights;
  for (float& value : layer.weights.mutable_data<float>()) value = 0;
  Moments moments(layer, 2);
  testing::gather_all(moments, layer, problem.x, problem.y);
  const testing::Solution solution = testing::solve(layer, moments, 1e-7, 500, 1e-8);
  ASSERT_TRUE(solution.solved);
  EXPECT_LE(relative_l2(solution.weights, wanted), 1e-3);
}

TEST(StridedRefit, LowersTheErrorByEveryMethod) {
  const graph::Graph dense = five_layers(true);
  const std::vector<Tensor> batches = pictures(4);
  for (const auto method : {pruning::Method::wins, pruning::Method::wins_b, pruning::Method::wwp}) {
    const graph::Graph pruned = pruned_copy(dense, 0.5, method);
    const RefitResult result = refit(pruned, dense, batches);
    bool found = false;
    for (const LayerFit& fit : result.layers) {
      EXPECT_LE(fit.error_after, fit.error_before * (1 + 1e-6)) << fit.layer;
      if (fit.layer != "down") continue;
      found = true;
      EXPECT_TRUE(fit.refitted) << fit.reason;
      EXPECT_LT(fit.error_after, 0.95 * fit.error_before);
    }
    EXPECT_TRUE(found);
    EXPECT_EQ(mask_of(result.graph, "down"), mask_of(pruned, "down"));
    EXPECT_LT(output_error(dense, result.graph, batches[0]), 0.9 * output_error(dense, pruned, batches[0]));
  }
}

TEST(StridedRefit, RowScoresAndCurvesCoverThem) {
  const graph::Graph dense = five_layers(true);
  const graph::Graph whole = pruned_copy(dense, 0, pruning::Method::dense);
  for (const RowScore kind : {RowScore::gram, RowScore::obs}) {
    const auto scores = row_scores(kind, whole, pictures(2), {});
    ASSERT_TRUE(scores.contains("down"));
    EXPECT_EQ(scores.at("down").rows.shape(), (Shape{25, 12}));
    EXPECT_EQ(scores.at("down").note, "");
  }
  RefitOptions options;
  CurveOptions curve_options;
  curve_options.ratios = {0.3, 0.8};
  curve_options.references = {0.8};
  const auto prune = [&](const std::map<std::string, double>& ratios) {
    pruning::PruneConfig config;
    config.method = pruning::Method::wins;
    config.criterion = pruning::Criterion::l2;
    config.strided = true;
    config.layer_ratio = ratios;
    graph::Graph pruned = dense;
    pruning::prune(pruned, config, {});
    return pruned;
  };
  const auto curves = measure_curves(dense, {"b", "down"}, prune, pictures(4), options, curve_options);
  ASSERT_EQ(curves.size(), 2U);
  EXPECT_EQ(curves[1].layer, "down");
  EXPECT_EQ(curves[1].reason, "");
  ASSERT_GE(curves[1].points.size(), 2U);
  EXPECT_LT(curves[1].points.front().squared_error, curves[1].points.back().squared_error);
}

}  // namespace
}  // namespace wins::refit
