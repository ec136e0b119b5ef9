#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "networks.hpp"
#include "wins/base/error.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/pruning/statistics.hpp"

namespace wins::pruning {
namespace {

using testing::five_layers;
using testing::mask_of;

bool is_balanced(const winograd::Mask& mask) {
  for (int xi = 1; xi < mask.positions; ++xi) {
    if (mask.kept_in(xi) != mask.kept_in(0)) return false;
  }
  return true;
}

/// Times and accuracies as the test sets them; counts the calls.
struct Fake {
  std::map<std::string, double> wins{{"a", 100}, {"b", 200}, {"c", 100}};
  std::map<std::string, double> balanced{{"a", 90}, {"b", 120}, {"c", 110}};
  std::map<std::string, double> price{{"a", 0.004}, {"b", 0.01}, {"c", 0.0}};  ///< of balancing a layer
  double jitter = 0;  ///< added to layer a in every second measurement of a kind
  int measured = 0;
  int outlooks = 0;
  std::vector<std::pair<std::size_t, std::size_t>> progress;

  AbHooks hooks() {
    AbHooks result;
    result.measure = [this](const graph::Graph& graph) {
      std::map<std::string, double> times;
      for (const std::string& layer : prunable_layers(graph)) {
        times[layer] = is_balanced(mask_of(graph, layer)) ? balanced.at(layer) : wins.at(layer);
      }
      times["a"] += measured / 2 % 2 == 0 ? 0 : jitter;
      ++measured;
      return times;
    };
    result.outlook = [this](const graph::Graph& graph) {
      ++outlooks;
      double accuracy = 0.9;
      for (const auto& [layer, lost] : price) {
        if (is_balanced(mask_of(graph, layer))) accuracy -= lost;
      }
      return accuracy;
    };
    result.progress = [this](std::size_t done, std::size_t all) { progress.emplace_back(done, all); };
    return result;
  }
};

PruneConfig config_of(double ratio = 0.7) {
  PruneConfig config;
  config.method = Method::wins_ab;
  config.criterion = Criterion::l2;
  config.ratio = ratio;
  return config;
}

TEST(WinsAb, WalksByGainAndPaysOnlyWhatTimeIsWorth) {
  graph::Graph graph = five_layers();
  const graph::Graph start = graph;
  Fake fake;
  // Total 400 us. b gains 80 (20 %) for 1.0 points, a gains 10 (2.5 %) for 0.4, c gains nothing.
  const auto decisions = decide_wins_ab(graph, config_of(), {}, fake.hooks(), 0.06);
  ASSERT_EQ(decisions.size(), 3U);
  EXPECT_EQ(decisions[0].layer, "b");
  EXPECT_TRUE(decisions[0].balanced);
  EXPECT_DOUBLE_EQ(decisions[0].gain, 0.2);
  EXPECT_NEAR(decisions[0].price, 0.01, 1e-12);
  EXPECT_DOUBLE_EQ(decisions[0].outlook_before, 0.9);
  EXPECT_NEAR(decisions[0].outlook_after, 0.89, 1e-12);
  EXPECT_EQ(decisions[0].reason, "becomes WINS-B: loses 1.000 points, 20.00 % of the time is worth 1.200");
  EXPECT_EQ(decisions[1].layer, "a");
  EXPECT_FALSE(decisions[1].balanced);
  EXPECT_NEAR(decisions[1].outlook_before, 0.89, 1e-12);  // with b balanced already
  EXPECT_EQ(decisions[1].reason, "keeps WINS: loses 0.400 points, 2.50 % of the time is worth 0.150");
  EXPECT_EQ(decisions[2].layer, "c");
  EXPECT_FALSE(decisions[2].evaluated);
  EXPECT_TRUE(std::isnan(decisions[2].outlook_after));
  EXPECT_EQ(decisions[2].reason, "keeps WINS: WINS-B is not faster (+10.0 us)");
  EXPECT_EQ(fake.measured, 6);
  EXPECT_EQ(fake.outlooks, 3);
  EXPECT_EQ(fake.progress, (std::vector<std::pair<std::size_t, std::size_t>>{{1, 3}, {2, 3}, {3, 3}}));

  // The masks are those of the methods themselves, from the same starting weights.
  graph::Graph wins = start;
  graph::Graph wins_b = start;
  PruneConfig config = config_of();
  config.method = Method::wins;
  prune(wins, config, {});
  config.method = Method::wins_b;
  prune(wins_b, config, {});
  EXPECT_EQ(mask_of(graph, "a"), mask_of(wins, "a"));
  EXPECT_EQ(mask_of(graph, "b"), mask_of(wins_b, "b"));
  EXPECT_EQ(mask_of(graph, "c"), mask_of(wins, "c"));
  const auto weights = [](const graph::Graph& g, const char* layer) { return *g.constant_input(*g.find_node(layer), 1); };
  EXPECT_EQ(relative_l2(weights(graph, "b"), weights(wins_b, "b")), 0);
  EXPECT_EQ(relative_l2(weights(graph, "a"), weights(wins, "a")), 0);
  graph::validate(graph);
}

TEST(WinsAb, TheKnobGoesFromAllWinsToAllThatGains) {
  graph::Graph none = five_layers();
  Fake fake;
  for (const AbDecision& d : decide_wins_ab(none, config_of(), {}, fake.hooks(), 0)) EXPECT_FALSE(d.balanced);
  graph::Graph all = five_layers();
  const auto decisions = decide_wins_ab(all, config_of(), {}, fake.hooks(), INFINITY);
  EXPECT_TRUE(decisions[0].balanced && decisions[1].balanced);
  EXPECT_FALSE(decisions[2].balanced);  // it gains nothing
}

TEST(WinsAb, AFreeSwitchIsTakenAtAnyTradeoff) {
  Fake fake;
  fake.price["b"] = -0.002;
  graph::Graph graph = five_layers();
  EXPECT_TRUE(decide_wins_ab(graph, config_of(), {}, fake.hooks(), 0)[0].balanced);
}

TEST(WinsAb, AGainWithinTheNoiseIsNotWorthAnEvaluation) {
  Fake fake;
  fake.jitter = 30;
  graph::Graph graph = five_layers();
  const auto decisions = decide_wins_ab(graph, config_of(), {}, fake.hooks(), 1);
  ASSERT_EQ(decisions[1].layer, "a");
  EXPECT_DOUBLE_EQ(decisions[1].noise_us, 15);
  EXPECT_FALSE(decisions[1].evaluated);
  EXPECT_EQ(decisions[1].reason, "keeps WINS: gain 10.0 us within the noise of 15.0 us");
  EXPECT_EQ(fake.outlooks, 2);
}

TEST(WinsAb, TheLimitCutsOffTheSmallestGains) {
  Fake fake;
  graph::Graph graph = five_layers();
  AbLimits limits;
  limits.rounds = 1;
  limits.max_outlooks = 1;
  const auto decisions = decide_wins_ab(graph, config_of(), {}, fake.hooks(), 1, limits);
  EXPECT_TRUE(decisions[0].balanced);
  EXPECT_EQ(decisions[1].reason, "keeps WINS: not evaluated (limit of 1 evaluations)");
  EXPECT_EQ(fake.measured, 2);
  EXPECT_EQ(fake.outlooks, 2);
}

TEST(WinsAb, NothingToGainNeedsNoOutlook) {
  Fake fake;
  fake.balanced = fake.wins;
  graph::Graph graph = five_layers();
  decide_wins_ab(graph, config_of(), {}, fake.hooks(), 1);
  EXPECT_EQ(fake.outlooks, 0);
  EXPECT_NEAR(pruning_ratio(graph), 0.7, 0.01);
}

TEST(WinsAb, DenseAndExcludedLayersTakeNoPart) {
  Fake fake;
  fake.balanced["a"] = 100;  // dense: balanced by nature, the same in both networks
  PruneConfig config = config_of();
  config.layer_ratio = {{"a", 0.0}};
  config.exclude = {"c"};
  graph::Graph graph = five_layers();
  AbHooks hooks = fake.hooks();
  hooks.outlook = [](const graph::Graph&) { return 0.5; };
  hooks.measure = [&](const graph::Graph& g) {
    return std::map<std::string, double>{{"a", 100.0}, {"b", is_balanced(mask_of(g, "b")) ? 50.0 : 100.0}};
  };
  const auto decisions = decide_wins_ab(graph, config, {}, hooks, 0.1);
  ASSERT_EQ(decisions.size(), 1U);
  EXPECT_EQ(decisions[0].layer, "b");
  EXPECT_DOUBLE_EQ(decisions[0].gain, 0.25);  // of all Winograd layers, the dense one included
  EXPECT_EQ(mask_of(graph, "a").pruning_ratio(), 0);
  EXPECT_NE(graph.find_node("c")->as<graph::Conv>(), nullptr);
}

TEST(WinsAb, LaterStepsKeepUnevenLayersAsWins) {
  Fake fake;
  graph::Graph graph = five_layers();
  decide_wins_ab(graph, config_of(0.4), {}, fake.hooks(), 0.06);
  ASSERT_TRUE(is_balanced(mask_of(graph, "b")));
  const winograd::Mask before = mask_of(graph, "a");
  const auto decisions = decide_wins_ab(graph, config_of(0.7), {}, fake.hooks(), 0.06);
  EXPECT_TRUE(decisions[0].layer == "b" && decisions[0].balanced);
  for (const AbDecision& d : decisions) {
    if (d.layer != "b") {
      EXPECT_EQ(d.reason, "keeps WINS: an earlier step has left its positions uneven");
    }
  }
  for (std::size_t i = 0; i < before.keep.size(); ++i) EXPECT_LE(mask_of(graph, "a").keep[i], before.keep[i]);
}

TEST(WinsAb, WritesItsDecisions) {
  Fake fake;
  graph::Graph graph = five_layers();
  decide_wins_ab(graph, config_of(), {}, fake.hooks(), 0.06);
  const auto list = nlohmann::json::parse(graph.metadata.at("wins.ab"));
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].at("layer"), "b");
  EXPECT_EQ(list[0].at("balanced"), true);
  EXPECT_EQ(list[0].at("tradeoff"), 0.06);
  EXPECT_EQ(list[0].at("time_wins_us"), 200);
  EXPECT_TRUE(list[2].at("outlook_after").is_null());
  EXPECT_EQ(nlohmann::json::parse(graph.metadata.at("wins.prune")).at("method"), "wins-ab");
}

TEST(WinsAb, BadHooksAndKnobsAreErrorsAndLeaveTheGraphAlone) {
  Fake fake;
  graph::Graph graph = five_layers();
  const auto refuses = [&](const AbHooks& hooks, double tradeoff, const AbLimits& limits = {}) {
    EXPECT_THROW(decide_wins_ab(graph, config_of(), {}, hooks, tradeoff, limits), Error);
    EXPECT_NE(graph.find_node("a")->as<graph::Conv>(), nullptr);
  };
  refuses(fake.hooks(), -1);
  refuses(fake.hooks(), std::nan(""));
  refuses(fake.hooks(), 1, AbLimits{0, 0});
  refuses(AbHooks{}, 1);
  AbHooks hooks = fake.hooks();
  hooks.measure = [](const graph::Graph&) { return std::map<std::string, double>{{"a", 1.0}}; };
  refuses(hooks, 1);
  hooks.measure = [](const graph::Graph&) { return std::map<std::string, double>{{"a", NAN}, {"b", 1.0}, {"c", 1.0}}; };
  refuses(hooks, 1);
  hooks.measure = [](const graph::Graph&) { return std::map<std::string, double>{{"a", 0.0}, {"b", 0.0}, {"c", 0.0}}; };
  refuses(hooks, 1);
  hooks = fake.hooks();
  hooks.outlook = [](const graph::Graph&) { return std::nan(""); };
  refuses(hooks, 1);
}

}  // namespace
}  // namespace wins::pruning
