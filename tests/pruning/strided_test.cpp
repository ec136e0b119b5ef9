// Pruning of convolutions of stride 2.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "networks.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/pruning/statistics.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::pruning {
namespace {

using testing::five_layers;
using testing::mask_of;

PruneConfig make(Method method, double ratio, Criterion criterion = Criterion::l2) {
  PruneConfig config;
  config.method = method;
  config.criterion = criterion;
  config.ratio = ratio;
  config.strided = true;
  return config;
}

graph::Graph pruned(graph::Graph graph, const PruneConfig& config, const Calibration& calibration = {}) {
  prune(graph, config, calibration);
  graph::validate(graph);
  return graph;
}

const graph::WinogradConv& layer_of(const graph::Graph& graph, const std::string& name) {
  return *graph.find_node(name)->as<graph::WinogradConv>();
}

Tensor run(const graph::Graph& graph, const Tensor& x) {
  return runtime::ref::run(graph, {x}, runtime::ref::Precision::float64)[0];
}

TEST(StridedPruning, IsOffUnlessAskedFor) {
  const graph::Graph start = five_layers();
  EXPECT_EQ(prunable_layers(start), (std::vector<std::string>{"a", "b", "c"}));
  std::map<std::string, std::string> reasons;
  EXPECT_EQ(prunable_layers(start, &reasons, true), (std::vector<std::string>{"a", "b", "down", "c"}));
  EXPECT_EQ(reasons.size(), 1U);  // the stem
  PruneConfig config = make(Method::wins, 0.5);
  config.strided = false;
  const graph::Graph without = pruned(start, config);
  EXPECT_NE(without.find_node("down")->as<graph::Conv>(), nullptr);
  EXPECT_FALSE(nlohmann::json::parse(without.metadata.at("wins.prune")).contains("strided"));
  const graph::Graph with = pruned(start, make(Method::wins, 0.5));
  EXPECT_EQ(layer_of(with, "down").stride, 2);
  EXPECT_EQ(layer_of(with, "c").stride, 1);
  EXPECT_EQ(nlohmann::json::parse(with.metadata.at("wins.prune")).at("strided"), true);
  // The other layers are pruned as without it.
  for (const char* layer : {"a", "b", "c"}) EXPECT_EQ(mask_of(with, layer), mask_of(without, layer));
  // Stem and stride 1 alone: too few channels, or nothing of stride 2.
  EXPECT_THROW(pruned(testing::chain(3, 8, {{"stem", 8, 3, 2, false}}), make(Method::wins, 0.5)), Error);
}

TEST(StridedPruning, EveryMethodReachesItsRatioAndZeroesU) {
  for (const Method method : {Method::wins, Method::wins_b, Method::fp, Method::wwp}) {
    for (const double ratio : {0.5, 0.84}) {
      const graph::Graph graph = pruned(five_layers(), make(method, ratio));
      const winograd::Mask& mask = mask_of(graph, "down");
      ASSERT_EQ(mask.positions, 25);
      const auto units = static_cast<double>(mask.units());
      const bool joint = method == Method::wins || method == Method::wwp;
      EXPECT_NEAR(mask.pruning_ratio(), ratio, (joint ? 1.0 / (units * 25) : 1.0 / units) / 2 + 1e-12);
      const auto u = graph.constant_input(*graph.find_node("down"), 1)->data<float>();
      std::int64_t kept = 0;
      for (std::size_t i = 0; i < u.size(); ++i) {
        const auto row = static_cast<std::int64_t>(i) / mask.columns;
        const bool alive = mask.weight_kept(static_cast<int>(row / mask.rows), row % mask.rows,
                                            static_cast<std::int64_t>(i) % mask.columns);
        kept += alive ? 1 : 0;
        if (!alive) {
          ASSERT_EQ(u[i], 0.0F);
        }
      }
      EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(u.size()), 1 - ratio, 0.05);
      for (const KeptRow& row : kept_table(graph)) EXPECT_EQ(row.p, row.layer == "down" ? 5 : 4);
    }
  }
}

TEST(StridedPruning, DenseKeepsTheFunctionAtAnyTileAsked) {
  const graph::Graph start = five_layers(true);
  const Tensor x = random_normal({2, 3, 13, 13}, 3);
  graph::Graph odd = start;
  odd.value(odd.inputs[0]).shape = Shape{-1, 3, 13, 13};
  const Tensor want = run(odd, x);
  for (const int m : {0, 2, 4}) {
    PruneConfig config = make(Method::dense, 0.5);
    config.m = m;
    const graph::Graph graph = pruned(odd, config);
    EXPECT_EQ(layer_of(graph, "down").m, 2);
    EXPECT_EQ(layer_of(graph, "b").m, m == 2 ? 2 : 4);
    EXPECT_LT(relative_l2(run(graph, x), want), 1e-6);
  }
}

TEST(StridedPruning, RatiosAndExclusionsHoldByName) {
  PruneConfig config = make(Method::wins, 0.5);
  config.layer_ratio = {{"down", 0.25}};
  EXPECT_NEAR(mask_of(pruned(five_layers(), config), "down").pruning_ratio(), 0.25, 0.002);
  config.layer_ratio.clear();
  config.exclude = {"down"};
  EXPECT_NE(pruned(five_layers(), config).find_node("down")->as<graph::Conv>(), nullptr);
  config.strided = false;
  EXPECT_THROW(pruned(five_layers(), config), Error);  // no such prunable layer
}

TEST(StridedPruning, ColumnsAndLaterSteps) {
  PruneConfig config = make(Method::wins, 0.5);
  config.axis = winograd::Axis::column;
  EXPECT_EQ(mask_of(pruned(five_layers(), config), "down").units(), 10);
  const graph::Graph first = pruned(five_layers(), make(Method::wins, 0.5));
  config = make(Method::wins, 0.75);
  config.strided = false;  // a WinogradConv is one whatever its stride
  const graph::Graph second = pruned(first, config);
  EXPECT_NEAR(mask_of(second, "down").pruning_ratio(), 0.75, 0.01);
  for (std::size_t i = 0; i < mask_of(first, "down").keep.size(); ++i) {
    ASSERT_LE(mask_of(second, "down").keep[i], mask_of(first, "down").keep[i]);
  }
}

/// E[V^2] of a layer of stride 2 by the definition: tile (h, w) begins at (4 h - pad, 4 w - pad).
Tensor naive_energy(const Tensor& x, std::int64_t pad, std::int64_t outputs) {
  const winograd::Algorithm& f = winograd::algorithm(2, 3, 2);
  const std::int64_t N = x.dim(0), C = x.dim(1), H = x.dim(2), W = x.dim(3), tiles = (outputs + 1) / 2;
  Tensor energy(DType::f64, {25, C});
  for (std::int64_t i = 0; i < N * tiles * tiles * 25 * C; ++i) {
    const std::int64_t c = i % C, xi = i / C % 25, w = i / C / 25 % tiles, h = i / C / 25 / tiles % tiles,
                       n = i / C / 25 / tiles / tiles;
    double v = 0;
    for (int yx = 0; yx < 25; ++yx) {
      const std::int64_t row = 4 * h - pad + yx / 5, col = 4 * w - pad + yx % 5;
      if (row < 0 || col < 0 || row >= H || col >= W) continue;
      v += f.B(yx / 5, static_cast<int>(xi / 5)) * f.B(yx % 5, static_cast<int>(xi % 5)) *
           static_cast<double>(x.data<float>()[static_cast<std::size_t>(((n * C + c) * H + row) * W + col)]);
    }
    energy.mutable_data<double>()[static_cast<std::size_t>(xi * C + c)] +=
        v * v / static_cast<double>(N * tiles * tiles);
  }
  return energy;
}

TEST(StridedPruning, EnergiesMatchTheDefinition) {
  for (const std::int64_t size : {5, 8, 9, 12}) {
    for (const std::int64_t pad : {0, 1}) {
      const Tensor x = random_normal({2, 3, size, size}, 1);
      InputEnergy energy;
      accumulate_input_energy(winograd::algorithm(2, 3, 2), {pad, pad, pad, pad}, x, energy);
      EXPECT_LT(relative_l2(energy.mean(), naive_energy(x, pad, (size + 2 * pad - 3) / 2 + 1)), 1e-14) << size;
    }
  }
}

TEST(StridedPruning, CalibrationSeesStridedLayersAndSamePads) {
  graph::Graph graph = testing::chain(8, 9, {{"down", 6, 3, 2, false}});
  const std::vector<Tensor> batches{random_normal({3, 8, 9, 9}, 1)};
  EXPECT_TRUE(calibrate(graph, batches, 2).empty());
  for (const int m : {2, 4}) {
    const Tensor energy = calibrate(graph, batches, m, prunable_layers(graph, nullptr, true)).at("down").input_energy;
    EXPECT_LT(relative_l2(energy, naive_energy(batches[0], 1, 5)), 1e-14);
  }
  auto& window = graph.nodes[0].as<graph::Conv>()->window;
  window.auto_pad = graph::AutoPad::same_upper;  // 9 inputs, 5 outputs: 2 pads, one on either side
  EXPECT_LT(relative_l2(calibrate(graph, batches, 2, prunable_layers(graph, nullptr, true)).at("down").input_energy, naive_energy(batches[0], 1, 5)), 1e-14);
}

// The score of a row is what the output loses in energy when it alone goes, cross terms between channels aside:
// with one input channel it is that exactly.
TEST(StridedPruning, OutputAwareScoresAreTheEnergyOfTheOutput) {
  const winograd::Algorithm& f = winograd::algorithm(2, 3, 2);
  const Tensor x = random_normal({2, 1, 17, 17}, 2);  // 9 outputs with pad 1, cut to 8 below: whole tiles
  LayerView layer;
  layer.name = "layer";
  layer.algorithm = &f;
  layer.U = random_normal({25, 2, 1}, 3);
  InputEnergy energy;
  accumulate_input_energy(f, {0, 0, 0, 0}, x, energy);
  layer.input_energy = energy.mean();
  const std::vector<double> scores = score_units(Criterion::output_aware, layer, winograd::Axis::row);
  for (std::size_t row = 0; row < 50; ++row) {
    graph::Graph graph;
    graph::WinogradConv op;
    op.stride = 2;
    op.pads = {0, 0, 0, 0};
    op.mask = winograd::Mask::full(winograd::Axis::row, 25, 2, 1);
    Tensor only(DType::f32, {25, 2, 1});
    only.mutable_data<float>()[row] = layer.U.data<float>()[row];
    graph.inputs = {graph.add_value("x", DType::f32, Shape{2, 1, 17, 17})};
    graph.outputs = {graph.add_node("layer", op, {graph.inputs[0], graph.add_constant("U", only)})};
    const Tensor y = run(graph, x);
    ASSERT_EQ(y.shape(), (Shape{2, 2, 8, 8}));
    double sum = 0;
    for (const double v : y.data<double>()) sum += v * v;
    EXPECT_NEAR(scores[row], sum / (2 * 16), 1e-9 * sum) << row;
  }
}

TEST(StridedPruning, WinsAbMeasuresAndDecidesThem) {
  graph::Graph graph = five_layers();
  AbHooks hooks;
  const auto balanced = [](const winograd::Mask& mask) {
    for (int xi = 1; xi < mask.positions; ++xi) {
      if (mask.kept_in(xi) != mask.kept_in(0)) return false;
    }
    return true;
  };
  hooks.measure = [&](const graph::Graph& candidate) {
    std::map<std::string, double> times;
    for (const std::string& layer : prunable_layers(candidate)) times[layer] = balanced(mask_of(candidate, layer)) ? 50 : 100;
    return times;
  };
  hooks.outlook = [](const graph::Graph&) { return 0.9; };
  const auto decisions = decide_wins_ab(graph, make(Method::wins_ab, 0.7), {}, hooks, 0.01);
  EXPECT_EQ(decisions.size(), 4U);
  EXPECT_EQ(layer_of(graph, "down").stride, 2);
  EXPECT_TRUE(balanced(mask_of(graph, "down")));
}

TEST(StridedPruning, SensitivityHasThem) {
  std::vector<std::string> seen;
  const auto rows = sensitivity(five_layers(), make(Method::wins, 0.5), {0.5}, {}, [](const graph::Graph&) { return 0.5; });
  for (const SensitivityRow& row : rows) seen.push_back(row.layer);
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b", "down", "c"}));
  EXPECT_NEAR(rows[2].reached, 0.5, 0.01);
}

}  // namespace
}  // namespace wins::pruning
