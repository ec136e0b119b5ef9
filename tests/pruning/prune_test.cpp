#include "wins/pruning/prune.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "networks.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/pruning/statistics.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::pruning {
namespace {

using testing::five_layers;
using testing::mask_of;
using winograd::Axis;

PruneConfig make(Method method, double ratio, Criterion criterion = Criterion::l2) {
  PruneConfig config;
  config.method = method;
  config.criterion = criterion;
  config.ratio = ratio;
  return config;
}

graph::Graph pruned(graph::Graph graph, const PruneConfig& config, const Calibration& calibration = {}) {
  prune(graph, config, calibration);
  graph::validate(graph);
  return graph;
}

void expect_zero_where_pruned(const graph::Graph& graph) {
  for (const graph::Node& node : graph.nodes) {
    const auto* conv = node.as<graph::WinogradConv>();
    if (conv == nullptr) continue;
    const auto u = graph.constant_input(node, 1)->data<float>();
    const winograd::Mask& mask = conv->mask;
    for (int xi = 0; xi < mask.positions; ++xi) {
      for (std::int64_t k = 0; k < mask.rows; ++k) {
        for (std::int64_t c = 0; c < mask.columns; ++c) {
          const float value = u[static_cast<std::size_t>((xi * mask.rows + k) * mask.columns + c)];
          if (!mask.weight_kept(xi, k, c)) {
            ASSERT_EQ(value, 0.0F) << node.name;
          }
        }
      }
    }
  }
}

TEST(PrunableLayers, AreTheOnesWinogradTakes) {
  std::map<std::string, std::string> reasons;
  EXPECT_EQ(prunable_layers(five_layers(), &reasons), (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_EQ(reasons.size(), 2U);
  EXPECT_NE(reasons.at("stem").find("3 input channels"), std::string::npos);
  EXPECT_FALSE(reasons.at("down").empty());
}

TEST(Prune, EveryMethodReachesItsRatioAndZeroesU) {
  for (const Method method : {Method::wins, Method::wins_b, Method::fp, Method::wwp}) {
    for (const double ratio : {0.5, 0.84}) {
      const graph::Graph graph = pruned(five_layers(), make(method, ratio));
      expect_zero_where_pruned(graph);
      for (const KeptRow& row : kept_table(graph)) {
        const auto units = static_cast<double>(row.units);
        const bool joint = method == Method::wins || method == Method::wwp;
        const double unit = joint ? 1.0 / (units * 16) : 1.0 / units;
        EXPECT_NEAR(row.ratio(), ratio, unit / 2 + 1e-12) << to_string(method) << " " << row.layer;
        EXPECT_EQ(row.m, 2);
      }
    }
  }
}

TEST(Prune, UnprunedWeightsAreTheTransformedOnes) {
  const graph::Graph start = five_layers();
  const graph::Graph graph = pruned(start, make(Method::wins, 0.5));
  const Tensor U = winograd::transform_weights(winograd::algorithm(2, 3), *start.constant_input(*start.find_node("b"), 1));
  const Tensor& kept = *graph.constant_input(*graph.find_node("b"), 1);
  const winograd::Mask& mask = mask_of(graph, "b");
  for (std::size_t i = 0; i < U.data<float>().size(); ++i) {
    const float want = mask.keep[i / 8] != 0 ? U.data<float>()[i] : 0.0F;  // C = 8 weights a row
    EXPECT_EQ(kept.data<float>()[i], want);
  }
}

TEST(Prune, DenseKeepsTheFunction) {
  const graph::Graph start = five_layers(true);
  const Tensor x = random_normal({2, 3, 12, 12}, 3);
  const Tensor want = runtime::ref::run(start, {x}, runtime::ref::Precision::float64)[0];
  for (const int m : {2, 4}) {
    PruneConfig config = make(Method::dense, 0.5);
    config.m = m;
    const graph::Graph graph = pruned(start, config);
    EXPECT_EQ(pruning_ratio(graph), 0);
    EXPECT_LT(relative_l2(runtime::ref::run(graph, {x}, runtime::ref::Precision::float64)[0], want), 1e-6);
  }
}

TEST(Prune, OverridesExclusionsAndAutomaticTiles) {
  PruneConfig config = make(Method::wins, 0.5);
  config.layer_ratio = {{"a", 0.0}};
  config.exclude = {"c"};
  config.m = 0;
  const graph::Graph graph = pruned(five_layers(), config);
  EXPECT_EQ(graph.find_node("a")->as<graph::WinogradConv>()->m, 4);
  EXPECT_EQ(mask_of(graph, "a").pruning_ratio(), 0);
  EXPECT_EQ(graph.find_node("b")->as<graph::WinogradConv>()->m, 2);
  EXPECT_EQ(mask_of(graph, "b").pruning_ratio(), 0.5);
  EXPECT_NE(graph.find_node("c")->as<graph::Conv>(), nullptr);
}

TEST(Prune, FloorsAndRounding) {
  PruneConfig config = make(Method::wins, 0.9);
  config.min_position_share = 0.25;
  for (const KeptRow& row : kept_table(pruned(five_layers(), config))) {
    for (const std::int64_t kept : row.kept) EXPECT_GE(kept, (row.units + 3) / 4);
    EXPECT_EQ(row.dead_positions, 0);
  }
  config = make(Method::wins, 0.9);
  config.min_layer_share = 0.3;
  for (const KeptRow& row : kept_table(pruned(five_layers(), config))) EXPECT_LE(row.ratio(), 0.7);
  config = make(Method::wins_b, 0.5);
  config.round_to = 4;
  for (const KeptRow& row : kept_table(pruned(five_layers(), config))) {
    for (const std::int64_t kept : row.kept) EXPECT_TRUE(kept % 4 == 0) << row.layer;
  }
}

TEST(Prune, Columns) {
  PruneConfig config = make(Method::wins, 0.5);
  config.axis = Axis::column;
  const graph::Graph graph = pruned(five_layers(), config);
  EXPECT_EQ(mask_of(graph, "b").units(), 8);
  EXPECT_EQ(mask_of(graph, "c").units(), 12);
  EXPECT_EQ(mask_of(graph, "c").pruning_ratio(), 0.5);
  expect_zero_where_pruned(graph);
}

TEST(Prune, StepsOnlyRemoveKeptRows) {
  for (const Method method : {Method::wins, Method::wins_b, Method::fp, Method::wwp}) {
    const graph::Graph first = pruned(five_layers(), make(method, 0.5));
    graph::Graph moved = first;  // as fine-tuning would: kept weights change, pruned ones stay 0
    for (graph::Value& value : moved.values) {
      if (!value.constant || value.constant->dtype() != DType::f32) continue;
      const Tensor noise = random_normal(value.constant->shape(), 99);
      auto data = value.constant->mutable_data<float>();
      for (std::size_t i = 0; i < data.size(); ++i) data[i] *= 1.0F + noise.data<float>()[i];
    }
    const graph::Graph second = pruned(moved, make(method, 0.75));
    const graph::Graph less = pruned(moved, make(method, 0.25));
    for (const std::string& layer : prunable_layers(second)) {
      EXPECT_EQ(mask_of(less, layer), mask_of(first, layer)) << "a lower ratio changes nothing";
      EXPECT_NEAR(mask_of(second, layer).pruning_ratio(), 0.75, 0.07);
      for (std::size_t i = 0; i < mask_of(first, layer).keep.size(); ++i) {
        ASSERT_LE(mask_of(second, layer).keep[i], mask_of(first, layer).keep[i]) << to_string(method) << layer;
      }
    }
  }
}

TEST(Prune, OtherUnitsInALaterStepAreAnError) {
  const graph::Graph rows = pruned(five_layers(), make(Method::wins, 0.5));
  EXPECT_THROW(pruned(rows, make(Method::wwp, 0.7)), Error);
  EXPECT_THROW(pruned(rows, make(Method::wins_b, 0.7)), Error);  // uneven
  EXPECT_NO_THROW(pruned(rows, make(Method::fp, 0.7)));
  EXPECT_NO_THROW(pruned(pruned(five_layers(), make(Method::dense, 0)), make(Method::wwp, 0.7)));
}

TEST(Prune, SharedWeightsStayWithTheOtherReader) {
  graph::Graph graph = pruned(five_layers(), make(Method::dense, 0));
  graph::Node twin = *graph.find_node("a");
  twin.name = "twin";
  twin.outputs = {graph.add_value("twin_out", DType::f32)};
  graph.nodes.push_back(twin);
  graph.outputs.push_back(twin.outputs[0]);
  PruneConfig config = make(Method::wins, 0.5);
  config.exclude = {"twin"};
  const graph::Graph result = pruned(graph, config);
  EXPECT_EQ(mask_of(result, "twin").pruning_ratio(), 0);
  expect_zero_where_pruned(result);
}

// Output-aware ranking must not depend on whether batch norm is folded already.
TEST(Prune, OutputAwareCommutesWithFoldingBatchNorm) {
  const graph::Graph start = five_layers(true);
  const Calibration calibration = calibrate(start, {random_normal({4, 3, 12, 12}, 1)}, 2);
  graph::Graph folded = start;
  ASSERT_GT(graph::fold_batch_norm(folded), 0);
  const PruneConfig config = make(Method::wins, 0.7, Criterion::output_aware);
  const graph::Graph one = pruned(start, config, calibration);
  const graph::Graph two = pruned(folded, config, calibration);
  for (const std::string& layer : prunable_layers(start)) EXPECT_EQ(mask_of(one, layer), mask_of(two, layer));
}

// Rows and filters go in the order of the scores that are handed in.
TEST(Prune, ByGivenScores) {
  const graph::Graph start = five_layers();
  Calibration calibration;
  for (const auto& [name, K] : {std::pair{"a", 8}, {"b", 10}, {"c", 8}}) {
    LayerCalibration& layer = calibration[name];
    layer.row_scores = Tensor(DType::f64, {16, K});
    layer.filter_scores = Tensor(DType::f64, {K});
    for (std::int64_t i = 0; i < 16 * K; ++i)
      layer.row_scores.mutable_data<double>()[static_cast<std::size_t>(i)] = static_cast<double>(i * 7 % (16 * K + 1));
    layer.filter_scores.mutable_data<double>()[1] = 1;
  }
  const graph::Graph rows = pruned(start, make(Method::wins, 0.5, Criterion::gram), calibration);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(mask_of(rows, "a").keep[i], i * 7 % 129 >= 64 ? 1 : 0) << i;
  PruneConfig one = make(Method::fp, 0.875, Criterion::obs);
  one.exclude = {"b"};
  const graph::Graph filters = pruned(start, one, calibration);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(mask_of(filters, "a").keep[i], i % 8 == 1 ? 1 : 0) << i;
}

TEST(Prune, GivenScoresAreOfRowsAlone) {
  PruneConfig config = make(Method::wins, 0.5, Criterion::gram);
  config.axis = winograd::Axis::column;
  EXPECT_THROW(check(five_layers(), config), UsageError);
  EXPECT_THROW(check(five_layers(), make(Method::wwp, 0.5, Criterion::obs)), UsageError);
  EXPECT_THROW(pruned(five_layers(), make(Method::wins, 0.5, Criterion::obs)), Error);  // no scores
}

TEST(Prune, IsDeterministic) {
  const graph::Graph one = pruned(five_layers(), make(Method::wins, 0.84));
  const graph::Graph two = pruned(five_layers(), make(Method::wins, 0.84));
  for (const std::string& layer : prunable_layers(one)) EXPECT_EQ(mask_of(one, layer), mask_of(two, layer));
  EXPECT_EQ(one.metadata, two.metadata);
}

TEST(Prune, WritesWhatItDid) {
  PruneConfig config = make(Method::wins, 0.5);
  config.seed = 7;
  config.layer_ratio = {{"a", 0.25}};
  const graph::Graph graph = pruned(five_layers(), config);
  const auto record = nlohmann::json::parse(graph.metadata.at("wins.prune"));
  EXPECT_EQ(record.at("method"), "wins");
  EXPECT_EQ(record.at("criterion"), "l2");
  EXPECT_EQ(record.at("ratio"), 0.5);
  EXPECT_EQ(record.at("m"), 2);
  EXPECT_EQ(record.at("seed"), 7);
  EXPECT_DOUBLE_EQ(record.at("ratio_reached"), pruning_ratio(graph));
  ASSERT_EQ(record.at("layers").size(), 3U);
  EXPECT_EQ(record.at("layers")[0].at("name"), "a");
  EXPECT_EQ(record.at("layers")[0].at("ratio"), 0.25);
  EXPECT_EQ(record.at("layers")[0].at("ratio_reached"), 0.25);
}

/// The message of the error that pruning with `config` must raise; the graph must stay as it was.
std::string message(const PruneConfig& config, const Calibration& calibration = {}) {
  graph::Graph graph = five_layers();
  try {
    prune(graph, config, calibration);
  } catch (const Error& error) {
    EXPECT_NE(graph.find_node("a")->as<graph::Conv>(), nullptr);
    EXPECT_TRUE(graph.metadata.empty());
    return error.what();
  }
  return "no error";
}

TEST(Prune, NamesWhatIsWrong) {
  EXPECT_EQ(message(make(Method::wins, 1.0)), "pruning ratio 1 is outside [0, 1)");
  EXPECT_EQ(message(make(Method::wins, -0.5)), "pruning ratio -0.5 is outside [0, 1)");
  EXPECT_EQ(message(make(Method::wins, std::nan(""))), "pruning ratio nan is outside [0, 1)");
  PruneConfig config = make(Method::wins, 0.5);
  config.layer_ratio = {{"b", 1.5}};
  EXPECT_EQ(message(config), "b: pruning ratio 1.5 is outside [0, 1)");
  config.layer_ratio = {{"stem", 0.5}};
  EXPECT_EQ(message(config), "stem: no such prunable layer (there are: a, b, c)");
  config.layer_ratio.clear();
  config.exclude = {"nothing"};
  EXPECT_EQ(message(config), "nothing: no such prunable layer (there are: a, b, c)");
  config.exclude = {"a"};
  config.layer_ratio = {{"a", 0.5}};
  EXPECT_EQ(message(config), "a: both excluded and given a ratio");
  EXPECT_EQ(message(make(Method::wins, 0.5, Criterion::fpgm)),
            "criterion fpgm ranks whole filters: it goes with method fp, not wins");
  EXPECT_EQ(message(make(Method::wins, 0.5, Criterion::output_aware)),
            "a: the output-aware criterion needs calibration images");
  EXPECT_NE(message(make(Method::wins_ab, 0.5)).find("decide_wins_ab"), std::string::npos);
  config = make(Method::fp, 0.5);
  config.axis = Axis::column;
  EXPECT_EQ(message(config), "method fp does not go with axis column");
  config = make(Method::wwp, 0.5);
  config.round_to = 8;
  EXPECT_EQ(message(config), "method wwp has no rows to round to a multiple of 8");
  config = make(Method::wins, 0.5);
  config.m = 3;
  EXPECT_EQ(message(config), "tile size 3 is not 2, 4, 6 or auto");
  config = make(Method::wins, 0.5);
  config.min_layer_share = 1.5;
  EXPECT_EQ(message(config), "the floor of a layer 1.5 is outside [0, 1]");
}

TEST(Prune, ANetworkWithoutPrunableLayersIsAnError) {
  graph::Graph graph = testing::chain(3, 8, {{"stem", 8, 3, 1, false}, {"down", 8, 3, 2, false}});
  EXPECT_THROW(prune(graph, make(Method::wins, 0.5), {}), Error);
}

TEST(Prune, ResNet8WithEveryMethodAndCriterion) {
  graph::ZooOptions options;
  options.classes = 10;
  options.channels = 1;
  options.height = options.width = 28;
  const graph::Graph start = graph::zoo("resnet8", options);
  const Calibration calibration = calibrate(start, {random_normal({2, 1, 28, 28}, 1)}, 2);
  for (const auto& [method, criterion] :
       {std::pair{Method::wins, Criterion::l1}, {Method::wins, Criterion::output_aware},
        {Method::wins_b, Criterion::output_aware}, {Method::fp, Criterion::fpgm}, {Method::fp, Criterion::whc},
        {Method::fp, Criterion::output_aware}, {Method::wwp, Criterion::output_aware}}) {
    const graph::Graph graph = pruned(start, make(method, 0.84, criterion), calibration);
    expect_zero_where_pruned(graph);
    EXPECT_NEAR(pruning_ratio(graph), 0.84, 0.02) << to_string(method) << " " << to_string(criterion);
    const auto y = runtime::ref::run(graph, {random_normal({1, 1, 28, 28}, 2)}, runtime::ref::Precision::float32);
    for (const float v : y[0].data<float>()) EXPECT_TRUE(std::isfinite(v));
  }
}

// Design: the row i = 2 of G (point -1) takes differences of neighbouring taps, which are small in
// smooth filters; with l2 its positions die first at high ratios.
TEST(Prune, WholePositionsDieWithL2OnSmoothFilters) {
  graph::Graph graph = testing::chain(32, 8, {{"a", 32, 3, 1, false}});
  Tensor& weights = *graph.value(graph.nodes[0].inputs[1]).constant;
  auto w = weights.mutable_data<float>();
  for (std::size_t f = 0; f < w.size(); f += 9) {  // smooth: a common level and a little noise
    for (std::size_t i = 1; i < 9; ++i) w[f + i] = w[f] + 0.3F * w[f + i];
  }
  const graph::Graph result = pruned(graph, make(Method::wins, 0.84));
  const KeptRow row = kept_table(result)[0];
  std::int64_t in_row_1 = 0;
  std::int64_t in_row_2 = 0;
  for (std::size_t j = 0; j < 4; ++j) {
    in_row_1 += row.kept[4 + j];
    in_row_2 += row.kept[8 + j];
  }
  EXPECT_GT(row.dead_positions, 2);
  EXPECT_LT(in_row_2, in_row_1 / 4);
}

TEST(Statistics, CountKeptUnitsAndRatios) {
  const graph::Graph graph = pruned(five_layers(), make(Method::wins_b, 0.5));
  const std::vector<KeptRow> table = kept_table(graph);
  ASSERT_EQ(table.size(), 3U);
  EXPECT_EQ(table[1].layer, "b");
  EXPECT_EQ(table[1].units, 10);
  EXPECT_EQ(table[1].kept, std::vector<std::int64_t>(16, 5));
  EXPECT_EQ(table[1].weights, 16 * 10 * 8);
  EXPECT_EQ(table[1].pruned_weights, 16 * 5 * 8);
  EXPECT_EQ(pruning_ratio(graph), 0.5);
  EXPECT_EQ(pruning_ratio(five_layers()), 0);
}

TEST(Sensitivity, PrunesOneLayerAtATime) {
  const graph::Graph start = five_layers();
  PruneConfig config = make(Method::wins_ab, 0.3);
  config.exclude = {"c"};
  int calls = 0;
  const auto evaluate = [&](const graph::Graph& graph) {
    ++calls;
    const auto table = kept_table(graph);
    EXPECT_LE(table.size(), 1U);
    return table.empty() ? 0.9 : 0.9 - 0.1 * table[0].ratio();
  };
  const auto rows = sensitivity(start, config, {0.25, 0.5}, {}, evaluate);
  EXPECT_EQ(calls, 5);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].layer, "a");
  EXPECT_EQ(rows[3].layer, "b");
  EXPECT_EQ(rows[3].ratio, 0.5);
  EXPECT_EQ(rows[3].reached, 0.5);
  EXPECT_DOUBLE_EQ(rows[3].accuracy, 0.85);
  EXPECT_NEAR(rows[3].drop, 0.05, 1e-12);
  EXPECT_THROW(sensitivity(start, config, {1.0}, {}, evaluate), Error);
  EXPECT_THROW(sensitivity(start, config, {}, {}, evaluate), Error);
}

}  // namespace
}  // namespace wins::pruning
