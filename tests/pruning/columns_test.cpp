// BCBP: selection, scores, whole networks, the file.
#include "wins/pruning/columns.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "networks.hpp"
#include "wins/base/exception.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/pruning/statistics.hpp"
#include "wins/runtime/session.hpp"

namespace wins::pruning {
namespace {

using graph::ColumnMask;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Counts = std::vector<std::int64_t>;

Counts counts(const ColumnMask& mask) {
  Counts result;
  for (std::int64_t b = 0; b < mask.blocks(); ++b) result.push_back(mask.kept_in(b));
  return result;
}

std::vector<std::int64_t> kept_columns(const ColumnMask& mask, std::int64_t b) {
  std::vector<std::int64_t> result;
  for (std::int64_t c = 0; c < mask.columns; ++c) {
    if (mask.kept(b, c)) result.push_back(c);
  }
  return result;
}

/// Three blocks of 4, 4 and 2 rows over six columns.
const ColumnMask kTen = ColumnMask::full(10, 6, 4);
/// The first block holds the strongest columns.
const std::vector<double> kScores{9, 8, 7, 6, 10, 5,  //
                                  1, 4, 2, 3, 4, 0,   //
                                  2, 2, 2, 2, 2, 2};

TEST(SelectColumns, UnevenRemovesTheLowestOfTheWholeLayer) {
  const ColumnMask mask = select_columns({0.5, 4, false}, kTen, kScores);
  // Nine of eighteen go: 0, 1, the 2 of the second block, five 2s of the third, which keeps its last column, and so 3.
  EXPECT_EQ(counts(mask), (Counts{6, 2, 1}));
  EXPECT_THAT(kept_columns(mask, 1), ElementsAre(1, 4));
  EXPECT_THAT(kept_columns(mask, 2), ElementsAre(5));
}

TEST(SelectColumns, BalancedKeepsEquallyManyInEachBlock) {
  const ColumnMask mask = select_columns({0.5, 4, true}, kTen, kScores);
  EXPECT_EQ(counts(mask), (Counts{3, 3, 3}));
  EXPECT_THAT(kept_columns(mask, 0), ElementsAre(0, 1, 4));
  EXPECT_THAT(kept_columns(mask, 1), ElementsAre(1, 3, 4));
  EXPECT_THAT(kept_columns(mask, 2), ElementsAre(3, 4, 5)) << "ties: the lower index goes first";
  EXPECT_EQ(mask.kept_weights(), 3 * 10);
  EXPECT_DOUBLE_EQ(mask.pruning_ratio(), 0.5);
}

TEST(SelectColumns, CountsAreExactForEveryRatio) {
  std::vector<double> scores;
  const Tensor noise = random_normal({7 * 23}, 5);
  for (const float v : noise.data<float>()) scores.push_back(std::abs(static_cast<double>(v)));
  const ColumnMask full = ColumnMask::full(7 * 16 - 3, 23, 16);
  for (const double ratio : {0.0, 0.1, 0.5, 0.8, 0.9}) {
    const ColumnMask uneven = select_columns({ratio, 16, false}, full, scores);
    std::int64_t kept = 0;
    for (const std::int64_t n : counts(uneven)) kept += n;
    EXPECT_EQ(kept, 7 * 23 - std::llround(ratio * 7 * 23)) << ratio;
    const std::int64_t each = 23 - std::llround(static_cast<double>(std::llround(ratio * 7 * 23)) / 7);
    EXPECT_EQ(counts(select_columns({ratio, 16, true}, full, scores)), Counts(7, each)) << ratio;
  }
}

TEST(SelectColumns, EachBlockKeepsAColumn) {
  for (const bool balanced : {false, true})
    EXPECT_EQ(counts(select_columns({0.99, 4, balanced}, kTen, kScores)), (Counts{1, 1, 1})) << balanced;
  EXPECT_THAT(kept_columns(select_columns({0.99, 4, true}, kTen, kScores), 0), ElementsAre(4));
}

TEST(SelectColumns, LaterStepsOnlyRemove) {
  for (const bool balanced : {false, true}) {
    const ColumnMask half = select_columns({0.5, 4, balanced}, kTen, kScores);
    std::vector<double> moved = kScores;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] = half.keep[i] != 0 ? 20.0 - moved[i] : 100;
    const ColumnMask more = select_columns({0.8, 4, balanced}, half, moved);
    EXPECT_LT(more.kept_weights(), half.kept_weights());
    for (std::size_t i = 0; i < half.keep.size(); ++i) EXPECT_LE(more.keep[i], half.keep[i]);
    EXPECT_EQ(select_columns({0.3, 4, balanced}, half, moved), half) << "a ratio that is met changes nothing";
  }
  // From uneven to balanced: 14 of 18 are gone, 5 (from 4.67) for each block.
  const ColumnMask uneven = select_columns({0.5, 4, false}, kTen, kScores);
  EXPECT_EQ(counts(select_columns({14.0 / 18, 4, true}, uneven, kScores)), (Counts{1, 1, 1}));
  EXPECT_EQ(counts(select_columns({12.0 / 18, 4, true}, uneven, kScores)), (Counts{2, 2, 1})) << "one is all it has";
}

TEST(SelectColumns, RefusesNonsense) {
  for (const double ratio : {-0.1, 1.0, std::nan("")}) EXPECT_THROW(select_columns({ratio, 4, true}, kTen, kScores), Error);
  EXPECT_THROW(select_columns({0.5, 8, true}, kTen, kScores), Error);
  EXPECT_THROW(select_columns({0.5, 4, true}, kTen, {1, 2}), Error);
  std::vector<double> broken = kScores;
  broken[3] = std::nan("");
  EXPECT_THROW(select_columns({0.5, 4, true}, kTen, broken), Error);
  EXPECT_THROW(ColumnMask::full(10, 6, 0), Error);
}

TEST(ScoreColumns, MatchTheirFormulas) {
  ColumnView view{"layer", random_normal({10, 6, 1, 1}, 3), Tensor(DType::f64, {1, 6}), {}};
  for (int k = 0; k < 10; ++k) view.output_scale.push_back(0.5 + k);
  for (std::size_t c = 0; c < 6; ++c) view.input_energy.mutable_data<double>()[c] = 1.0 + static_cast<double>(c * c);
  const auto w = view.weights.data<float>();
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::int64_t height = b == 2 ? 2 : 4;
    for (std::int64_t c = 0; c < 6; ++c) {
      double l1 = 0, l2 = 0, aware = 0;
      for (std::int64_t k = b * 4; k < b * 4 + height; ++k) {
        const auto value = static_cast<double>(w[static_cast<std::size_t>(k * 6 + c)]);
        const double s = 0.5 + static_cast<double>(k);
        l1 += std::abs(value);
        l2 += value * value;
        aware += value * value * (1.0 + static_cast<double>(c * c)) * s * s;
      }
      const auto i = static_cast<std::size_t>(b * 6 + c);
      const auto h = static_cast<double>(height);
      EXPECT_NEAR(score_columns(Criterion::l1, view, 4)[i], l1 / h, 1e-9);
      EXPECT_NEAR(score_columns(Criterion::l2, view, 4)[i], l2 / h, 1e-9);
      EXPECT_NEAR(score_columns(Criterion::output_aware, view, 4)[i], aware / h, 1e-9);
    }
  }
  EXPECT_THROW(score_columns(Criterion::obs, view, 4), Error);
  view.input_energy = Tensor();
  EXPECT_THROW(score_columns(Criterion::output_aware, view, 4), Error);
  view.weights.mutable_data<float>()[7] = std::nanf("");
  EXPECT_THROW(score_columns(Criterion::l2, view, 4), Error);
}

/// 3x3 layers between 1x1 ones: 20 output channels are a whole and a short block of 16.
graph::Graph mixed(bool batch_norm = false) {
  return testing::chain(3, 10, {{"stem", 8, 3, 1, batch_norm},
                                {"first", 20, 1, 1, batch_norm},
                                {"a", 12, 3, 1, batch_norm},
                                {"down", 24, 1, 2, batch_norm},
                                {"last", 10, 1, 1, batch_norm}});
}

PruneConfig with_columns(double ratio, Method method = Method::wins) {
  PruneConfig config;
  config.method = method;
  config.criterion = Criterion::l2;
  config.columns = ColumnPruning{ratio, 16, true};
  return config;
}

graph::Graph pruned(graph::Graph graph, const PruneConfig& config, const Calibration& calibration = {}) {
  prune(graph, config, calibration);
  graph::validate(graph);
  return graph;
}

ColumnMask column_mask_of(const graph::Graph& graph, const std::string& layer) {
  return graph::column_mask(graph, *graph.find_node(layer)).value();
}

TEST(PruneColumns, LayersAreThePointwiseOnes) {
  graph::Graph graph = testing::chain(3, 10, {{"rgb", 8, 1, 1, false}, {"a", 8, 1, 2, false}, {"b", 8, 3, 1, false}});
  std::map<std::string, std::string> reasons;
  EXPECT_THAT(column_layers(graph, &reasons), ElementsAre("a"));
  ASSERT_EQ(reasons.size(), 1U);
  EXPECT_THAT(reasons.at("rgb"), HasSubstr("3 input channels"));
}

TEST(PruneColumns, BesideAnyMethodAndByItself) {
  for (const Method method : {Method::wins, Method::wins_b, Method::fp, Method::dense}) {
    const graph::Graph start = mixed();
    const graph::Graph graph = pruned(start, with_columns(0.75, method));
    EXPECT_EQ(testing::mask_of(graph, "a").pruning_ratio() > 0, method != Method::dense);
    EXPECT_EQ(counts(column_mask_of(graph, "first")), (Counts{2, 2}));
    EXPECT_EQ(counts(column_mask_of(graph, "down")), (Counts{3, 3}));
    EXPECT_EQ(counts(column_mask_of(graph, "last")), (Counts{6}));
    // What is kept is what was there.
    const ColumnMask mask = column_mask_of(graph, "down");
    const auto before = start.constant_input(*start.find_node("down"), 1)->data<float>();
    const auto after = graph.constant_input(*graph.find_node("down"), 1)->data<float>();
    for (std::int64_t i = 0; i < 24 * 12; ++i) {
      const auto at = static_cast<std::size_t>(i);
      EXPECT_EQ(after[at], mask.weight_kept(i / 12, i % 12) ? before[at] : 0.0F);
    }
    EXPECT_DOUBLE_EQ(column_ratio(graph), 0.75);
  }
  graph::Graph alone = testing::chain(8, 6, {{"a", 16, 1, 1, false}});
  EXPECT_THROW(pruned(alone, with_columns(0.5)), Error) << "nothing for WINS";
  EXPECT_EQ(counts(column_mask_of(pruned(alone, with_columns(0.5, Method::dense)), "a")), (Counts{4}));
}

TEST(PruneColumns, ExclusionsOverridesAndRefusals) {
  PruneConfig config = with_columns(0.75);
  config.exclude = {"first"};
  config.layer_ratio = {{"down", 0.5}};
  const graph::Graph graph = pruned(mixed(), config);
  EXPECT_FALSE(graph::column_mask(graph, *graph.find_node("first")).has_value());
  EXPECT_EQ(counts(column_mask_of(graph, "down")), (Counts{6, 6}));
  config.columns.reset();
  EXPECT_THROW(pruned(mixed(), config), Error) << "without BCBP no 1x1 layer is known";
  config.exclude = {"nowhere"};
  EXPECT_THROW(pruned(mixed(), config), Error);
  for (const double ratio : {-0.5, 1.0}) EXPECT_THROW(pruned(mixed(), with_columns(ratio)), Error);
  PruneConfig thin = with_columns(0.5);
  thin.columns->block = 0;
  EXPECT_THROW(check(mixed(), thin), Error);
  EXPECT_THROW(check(testing::five_layers(), with_columns(0.5)), Error) << "no 1x1 layer";
}

TEST(PruneColumns, StepsCountFromTheUnprunedLayer) {
  const graph::Graph first = pruned(mixed(), with_columns(0.5));
  const graph::Graph second = pruned(first, with_columns(0.75));
  EXPECT_EQ(counts(column_mask_of(second, "down")), (Counts{3, 3}));
  for (std::size_t i = 0; i < column_mask_of(first, "down").keep.size(); ++i)
    EXPECT_LE(column_mask_of(second, "down").keep[i], column_mask_of(first, "down").keep[i]);
  EXPECT_EQ(column_mask_of(pruned(first, with_columns(0.25)), "down"), column_mask_of(first, "down"));
  // A layer that is left alone now stays named.
  PruneConfig config = with_columns(0.75);
  config.exclude = {"first"};
  EXPECT_EQ(counts(column_mask_of(pruned(first, config), "first")), (Counts{4, 4}));
  config.columns->block = 8;
  EXPECT_THROW(pruned(first, config), Error) << "blocks of another height";
}

TEST(PruneColumns, TheRecordSurvivesTheFile) {
  const graph::Graph graph = pruned(mixed(true), with_columns(0.75));
  const graph::Graph back = onnx::load_bytes(onnx::save_bytes(graph), "columns");
  const auto record = nlohmann::json::parse(back.metadata.at(graph::kColumnPruning));
  EXPECT_EQ(record.at("block"), 16);
  EXPECT_EQ(record.at("ratio"), 0.75);
  EXPECT_EQ(record.at("balanced"), true);
  EXPECT_EQ(record.at("criterion"), "l2");
  ASSERT_EQ(record.at("layers").size(), 3U);
  EXPECT_EQ(record.at("layers")[0].at("name"), "first");
  EXPECT_EQ(record.at("layers")[0].at("ratio"), 0.75);
  for (const char* layer : {"first", "down", "last"}) {
    ASSERT_NE(back.find_node(layer)->as<graph::Conv>(), nullptr);
    EXPECT_EQ(column_mask_of(back, layer), column_mask_of(graph, layer));
  }
  EXPECT_EQ(column_table(back).at(1).kept, (Counts{3, 3}));
}

TEST(PruneColumns, DamagedMetadataIsOneError) {
  graph::Graph graph = pruned(mixed(), with_columns(0.5));
  for (const char* text : {"", "[]", "{\"block\": 0, \"layers\": []}", "{\"block\": 16, \"layers\": [1]}"}) {
    graph.metadata[graph::kColumnPruning] = text;
    EXPECT_THROW(column_table(graph), Error) << text;
  }
  graph.metadata[graph::kColumnPruning] = R"({"block": 16, "layers": [{"name": "gone"}, {"name": "a"}]})";
  EXPECT_TRUE(column_table(graph).empty()) << "no such 1x1 layer";
}

TEST(PruneColumns, MultiplicationsLeaveOutWhatIsSkipped) {
  const graph::Graph graph = pruned(mixed(), with_columns(0.75));
  const graph::Graph concrete = graph::specialize(graph, {{2, 3, 10, 10}});
  const auto cost_of = [&](const graph::Graph& network, const std::string& layer) {
    for (const graph::NodeCost& node : graph::count_cost(network).nodes) {
      if (node.node == layer) return node;
    }
    throw Error("no such layer");
  };
  const graph::NodeCost down = cost_of(concrete, "down");
  EXPECT_EQ(down.direct_macs, 2 * 5 * 5 * 24 * 12);
  EXPECT_EQ(down.macs, 2 * 5 * 5 * 24 * 3);
  EXPECT_EQ(down.parameters, 24 * 3);
  EXPECT_EQ(down.dense_parameters, 24 * 12);
  graph::Graph unnamed = concrete;
  unnamed.metadata.clear();
  EXPECT_EQ(cost_of(unnamed, "down").macs, 2 * 5 * 5 * 24 * 12) << "zeros alone are no structure";
}

// Pixels between the strides do not count, and batch norm weighs the outputs, folded or not.
TEST(PruneColumns, OutputAwareSeesWhatTheLayerReads) {
  Tensor x = random_normal({2, 6, 5, 5}, 8);
  InputEnergy energy;
  graph::Window window;
  window.stride = {2, 2};
  accumulate_pixel_energy(window, x, energy);
  EXPECT_EQ(energy.tiles, 2 * 3 * 3);
  double want = 0;
  for (const std::size_t n : {0U, 1U}) {
    for (const std::size_t h : {0U, 2U, 4U}) {
      for (const std::size_t w : {0U, 2U, 4U}) {
        const auto v = static_cast<double>(x.data<float>()[((n * 6 + 4) * 5 + h) * 5 + w]);
        want += v * v / 18;
      }
    }
  }
  EXPECT_NEAR(energy.mean().data<double>()[4], want, 1e-9);

  const graph::Graph start = mixed(true);
  const std::vector<Tensor> pictures{random_normal({4, 3, 10, 10}, 1)};
  std::vector<std::string> layers = prunable_layers(start);
  for (const std::string& layer : column_layers(start)) layers.push_back(layer);
  const Calibration calibration = calibrate(start, pictures, 2, layers);
  EXPECT_EQ(calibration.size(), 4U);
  EXPECT_EQ(calibration.at("down").input_energy.shape(), (Shape{1, 12}));
  graph::Graph folded = start;
  ASSERT_GT(graph::fold_batch_norm(folded), 0);
  PruneConfig config = with_columns(0.5);
  config.criterion = Criterion::output_aware;
  const graph::Graph a = pruned(start, config, calibration), b = pruned(folded, config, calibration);
  for (const char* layer : {"first", "down", "last"}) EXPECT_EQ(column_mask_of(a, layer), column_mask_of(b, layer));
  EXPECT_NE(column_mask_of(a, "down"), column_mask_of(pruned(start, with_columns(0.5)), "down")) << "l2 differs";
}

TEST(PruneColumns, TheEngineRunsTheResultAsTheReferenceDoes) {
  const graph::Graph graph = pruned(mixed(true), with_columns(0.75));
  const Tensor x = random_normal({2, 3, 10, 10}, 4);
  runtime::SessionOptions reference;
  reference.backend = "ref";
  const Tensor want = runtime::Session::open(graph, reference).run({x}).at(0);
  EXPECT_LT(relative_l2(runtime::Session::open(graph).run({x}).at(0), want), 1e-5);
}

TEST(PruneColumns, WinsAbDecidesWithThemPruned) {
  graph::Graph graph = mixed();
  AbHooks hooks;
  int asked = 0;
  hooks.measure = [](const graph::Graph& g) {
    bool even = true;
    const winograd::Mask& mask = testing::mask_of(g, "a");
    for (int xi = 1; xi < mask.positions; ++xi) even = even && mask.kept_in(xi) == mask.kept_in(0);
    return std::map<std::string, double>{{"a", even ? 1.0 : 2.0}};
  };
  hooks.outlook = [&](const graph::Graph& g) {
    ++asked;
    EXPECT_EQ(counts(column_mask_of(g, "down")), (Counts{3, 3}));
    return 0.9;
  };
  PruneConfig config = with_columns(0.75, Method::wins_ab);
  decide_wins_ab(graph, config, {}, hooks, 0.01);
  EXPECT_GT(asked, 0);
  EXPECT_EQ(counts(column_mask_of(graph, "down")), (Counts{3, 3}));
}

}  // namespace
}  // namespace wins::pruning
