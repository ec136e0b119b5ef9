// Ratios by marginal cost: the greedy choice, and the curves that it reads.
#include "wins/refit/allocation.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "layer_model.hpp"
#include "statistics.hpp"
#include "layers.hpp"
#include "pruning/networks.hpp"
#include "solver.hpp"
#include "wins/base/exception.hpp"
#include "wins/graph/passes.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/runtime/session.hpp"

namespace wins::refit {
namespace {

using pruning::testing::five_layers;
using ::testing::HasSubstr;

LayerCurve curve_of(const std::string& name, double sensitivity, std::vector<CurvePoint> points) {
  LayerCurve curve{name, {{0, 0, 0}}, ""};
  curve.points.insert(curve.points.end(), points.begin(), points.end());
  for (CurvePoint& point : curve.points) point.damage = sensitivity * point.squared_error;
  return curve;
}

/// Convex: each step costs at least what the one before did.
LayerCurve convex(const std::string& name, double sensitivity, std::mt19937& random, double ceiling = 0.9) {
  std::uniform_real_distribution<double> step(0.001, 0.1);
  std::vector<double> steps;
  for (int i = 0; i < 4; ++i) steps.push_back(step(random));
  std::sort(steps.begin(), steps.end());
  std::vector<CurvePoint> points;
  double error = 0;
  for (int i = 0; i < 4; ++i)
    points.push_back({ceiling * (i + 1) / 4, error += steps[static_cast<std::size_t>(i)], 0});
  return curve_of(name, sensitivity, points);
}

double damage_of(const std::vector<LayerCurve>& curves, const std::vector<double>& ratios) {
  double sum = 0;
  for (std::size_t l = 0; l < curves.size(); ++l) sum += curves[l].at(ratios[l]).damage;
  return sum;
}

double saved(const std::vector<LayerShare>& shares) {
  double part = 0, total = 0;
  for (const LayerShare& share : shares) {
    part += share.cost * share.ratio;
    total += share.cost;
  }
  return part / total;
}

std::vector<double> ratios_of(const std::vector<LayerShare>& shares) {
  std::vector<double> result;
  for (const LayerShare& share : shares) result.push_back(share.ratio);
  return result;
}

std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

/// Least damage over a fine grid of the first two ratios; the third follows from the target.
double brute_force(const std::vector<LayerCurve>& curves, const std::map<std::string, double>& cost,
                   double ratio, const RatioBounds& bounds) {
  const double a = cost.at("a"), b = cost.at("b"), c = cost.at("c");
  double best = 1e9;
  const int steps = 450;
  for (int i = 0; i <= steps; ++i) {
    for (int j = 0; j <= steps; ++j) {
      const double x = bounds.floor + (bounds.ceiling - bounds.floor) * i / steps;
      const double y = bounds.floor + (bounds.ceiling - bounds.floor) * j / steps;
      const double z = std::max(bounds.floor, (ratio * (a + b + c) - a * x - b * y) / c);
      if (z <= bounds.ceiling) best = std::min(best, damage_of(curves, {x, y, z}));
    }
  }
  return best;
}

TEST(Allocation, IsAsGoodAsBruteForceOnConvexCurves) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> weight(0.1, 3);
  for (int round = 0; round < 12; ++round) {
    const std::vector<LayerCurve> curves{convex("a", weight(random), random),
                                         convex("b", weight(random), random),
                                         convex("c", weight(random), random)};
    const std::map<std::string, double> cost{
        {"a", weight(random)}, {"b", weight(random)}, {"c", weight(random)}};
    const double ratio = 0.2 + 0.05 * round;
    const RatioBounds bounds{round % 3 == 0 ? 0.1 : 0.0, round % 2 == 0 ? 0.9 : 0.85};
    const std::vector<LayerShare> shares = allocate(curves, cost, ratio, bounds);
    EXPECT_NEAR(saved(shares), ratio, 1e-12);
    for (const LayerShare& share : shares) {
      EXPECT_GE(share.ratio, bounds.floor);
      EXPECT_LE(share.ratio, bounds.ceiling);
    }
    // The grid of the brute force is finite: it can only be a little worse.
    const double best = brute_force(curves, cost, ratio, bounds);
    EXPECT_LE(damage_of(curves, ratios_of(shares)), best + 1e-9) << round;
    EXPECT_GE(damage_of(curves, ratios_of(shares)), best - 0.01) << round;
  }
}

TEST(Allocation, EqualCurvesGetEqualRatios) {
  std::mt19937 random(9);
  const LayerCurve a = convex("a", 1, random);
  LayerCurve b = a, c = a;
  b.layer = "b";
  c.layer = "c";
  for (const double ratio : {0.0, 0.1, 0.37, 0.5, 0.83, 0.9}) {
    for (const double got : ratios_of(allocate({a, b, c}, {{"a", 7}, {"b", 7}, {"c", 7}}, ratio)))
      EXPECT_NEAR(got, ratio, 1e-12);
  }
}

TEST(Allocation, WhatCostsNothingGoesFirst) {
  const LayerCurve free = curve_of("free", 0, {{0.5, 0.1, 0}, {0.9, 0.4, 0}});
  const LayerCurve dear = curve_of("dear", 1, {{0.5, 0.1, 0}, {0.9, 0.4, 0}});
  const std::map<std::string, double> cost{{"free", 1}, {"dear", 1}};
  EXPECT_THAT(ratios_of(allocate({dear, free}, cost, 0.3)),
              ::testing::ElementsAre(0, ::testing::DoubleNear(0.6, 1e-12)));
  EXPECT_THAT(ratios_of(allocate({dear, free}, cost, 0.6)),
              ::testing::ElementsAre(::testing::DoubleNear(0.3, 1e-12), ::testing::DoubleNear(0.9, 1e-12)));
  // A layer that saves nothing is left alone.
  EXPECT_THAT(ratios_of(allocate({dear, free}, {{"free", 0}, {"dear", 1}}, 0.3)),
              ::testing::ElementsAre(::testing::DoubleNear(0.3, 1e-12), 0));
  EXPECT_THAT(ratios_of(allocate({dear, free}, {{"free", -2}, {"dear", 1}}, 0.3)),
              ::testing::ElementsAre(::testing::DoubleNear(0.3, 1e-12), 0));
}

TEST(Allocation, NoiseThatMakesACurveFallDoesNotTrapIt) {
  // Not convex, not monotone: the hull goes from (0, 0) straight to the last point.
  const LayerCurve noisy = curve_of("noisy", 1, {{0.3, 0.5, 0}, {0.6, 0.2, 0}, {0.9, 0.1, 0}});
  const LayerCurve plain = curve_of("plain", 1, {{0.5, 0.1, 0}, {0.9, 0.4, 0}});
  const std::vector<LayerShare> shares = allocate({noisy, plain}, {{"noisy", 1}, {"plain", 1}}, 0.6);
  EXPECT_NEAR(shares[0].ratio, 0.9, 1e-12);
  EXPECT_NEAR(shares[1].ratio, 0.3, 1e-12);
  EXPECT_NEAR(shares[1].point.squared_error, 0.06, 1e-12);
  EXPECT_NEAR(shares[1].sensitivity(), 1, 1e-12);
}

TEST(Allocation, BoundsHoldAndWhatCannotBeMetIsNamed) {
  const LayerCurve a = curve_of("a", 1, {{0.5, 0.1, 0}, {0.7, 0.4, 0}});  // floors of the layer end it at 0.7
  const LayerCurve b = curve_of("b", 1, {{0.5, 0.1, 0}, {0.95, 0.4, 0}});
  const std::map<std::string, double> cost{{"a", 1}, {"b", 3}};
  EXPECT_NEAR(largest_ratio({a, b}, cost, {0, 0.9}), (0.7 + 3 * 0.9) / 4, 1e-12);
  EXPECT_THAT(message([&] { allocate({a, b}, cost, 0.86, {0, 0.9}); }), HasSubstr("allow 0.85"));
  EXPECT_THAT(ratios_of(allocate({a, b}, cost, 0.85, {0, 0.9})),
              ::testing::ElementsAre(::testing::DoubleNear(0.7, 1e-9), ::testing::DoubleNear(0.9, 1e-9)));
  // The floor asks for more than the ratio; a network that was pruned before starts where it is.
  EXPECT_THAT(ratios_of(allocate({a, b}, cost, 0.1, {0.2, 0.9})), ::testing::ElementsAre(0.2, 0.2));
  const LayerCurve before{"a", {{0.4, 0, 0}, {0.7, 0.3, 0.3}}, ""};
  EXPECT_THAT(ratios_of(allocate({before}, cost, 0.1)), ::testing::ElementsAre(0.4));
  // Layers without a curve are left out.
  const LayerCurve none{"none", {}, "its inputs do not vary"};
  EXPECT_EQ(allocate({a, none}, cost, 0.3).size(), 1U);
  EXPECT_THAT(message([&] { allocate({none}, cost, 0.3); }), HasSubstr("no layer has"));
  EXPECT_THAT(message([&] { allocate({a, b}, {{"a", 1}}, 0.3); }), HasSubstr("layer b"));
  EXPECT_THAT(message([&] { allocate({a, b}, cost, 1.0); }), HasSubstr("outside [0, 1)"));
  EXPECT_THAT(message([&] { allocate({a, b}, cost, 0.3, {0.5, 0.4}); }), HasSubstr("floor of 0.5"));
  LayerCurve broken = a;
  broken.points[1].damage = NAN;
  EXPECT_THAT(message([&] { allocate({broken, b}, cost, 0.3); }), HasSubstr("damage of layer a"));
}

/// Pruning of `dense` by l2, every layer at its own ratio.
PruneAt pruner(const graph::Graph& dense, pruning::PruneConfig config = {}) {
  config.method = pruning::Method::wins;
  config.criterion = pruning::Criterion::l2;
  config.ratio = 0;
  return [dense, config](const std::map<std::string, double>& ratios) {
    graph::Graph pruned = dense;
    pruning::PruneConfig all = config;
    all.layer_ratio = ratios;
    pruning::prune(pruned, all, {});
    return pruned;
  };
}

std::vector<Tensor> pictures(int batches) {
  std::vector<Tensor> result;
  for (int b = 0; b < batches; ++b)
    result.push_back(random_normal({8, 3, 12, 12}, 3 + static_cast<std::uint64_t>(b)));
  return result;
}

TEST(ErrorCurves, MasksOfLayersDoNotDependOnEachOther) {
  const graph::Graph dense = five_layers(true);
  const PruneAt prune = pruner(dense);
  const graph::Graph together = prune({{"a", 0.6}, {"b", 0.6}, {"c", 0.6}});
  for (const char* layer : {"a", "b", "c"}) {
    EXPECT_EQ(pruning::testing::mask_of(prune({{layer, 0.6}}), layer),
              pruning::testing::mask_of(together, layer));
  }
}

TEST(ErrorCurves, QuadraticFormEqualsTheErrorFromTheDefinition) {
  for (const int m : {2, 4}) {
    const LinearLayer dense = testing::winograd_layer(m, 3, 4);
    LinearLayer masked = dense;
    testing::prune_units(masked, winograd::Axis::row, 3);
    // 10 x 11 outputs: tiles that are cut off too.
    const Activations x{random_normal({6, 3, 10, 11}, 2), random_normal({6, 3, 10, 11}, 4)};
    const std::vector<testing::Feature> all = testing::features(dense, x);
    Activations y{Tensor(DType::f32, {6, 4, 10, 11}), Tensor(DType::f32, {6, 4, 10, 11})};
    const auto output = [&](const Tensor& weights, const testing::Feature& f, std::int64_t k) {
      double sum = 0;
      for (int xi = 0; xi < dense.positions; ++xi) {
        for (std::int64_t c = 0; c < dense.C; ++c) {
          sum += f.phi[static_cast<std::size_t>(xi * dense.C + c)] *
                 static_cast<double>(
                     weights.data<float>()[static_cast<std::size_t>((xi * dense.K + k) * dense.C + c)]);
        }
      }
      return sum;
    };
    for (const testing::Feature& f : all) {
      for (std::int64_t k = 0; k < dense.K; ++k) {
        const auto at = static_cast<std::size_t>(((f.picture * dense.K + k) * 10 + f.h) * 11 + f.w);
        y[static_cast<std::size_t>(f.batch)].mutable_data<float>()[at] =
            static_cast<float>(output(dense.weights, f, k) + 3);  // the bias does not count
      }
    }
    RefitOptions options;
    options.tiles_per_weight = 1000;  // all of them
    const LayerModel model(dense, x, y[0].shape(), options);
    const LayerModel::Fitted fitted = model.fit(masked.mask, 100);

    double error = 0, energy = 0;
    const auto count = static_cast<double>(all.size());
    for (std::int64_t k = 0; k < dense.K; ++k) {
      double d1 = 0, d2 = 0, t1 = 0, t2 = 0;
      for (const testing::Feature& f : all) {
        const double want = output(dense.weights, f, k), d = want - output(fitted.weights, f, k);
        d1 += d;
        d2 += d * d;
        t1 += want;
        t2 += want * want;
      }
      error += d2 - d1 * d1 / count;
      energy += t2 - t1 * t1 / count;
      EXPECT_NEAR(fitted.mean[static_cast<std::size_t>(k)], d1 / count, 1e-4) << k;
    }
    EXPECT_GT(fitted.squared_error, 0.01);
    EXPECT_NEAR(fitted.squared_error, error / energy, 1e-5) << m;

    // The same weights as the refit's own moments give, which know the alive positions alone.
    LinearLayer pruned = under_mask(dense, masked.mask);
    Moments moments(pruned, 1);
    testing::gather_all(moments, pruned, x, y);
    const testing::Solution solution = testing::solve(pruned, moments, options.ridge, 100, options.tolerance);
    EXPECT_LE(relative_l2(fitted.weights, solution.weights), 1e-3);
  }
}

/// What a layer gives for all batches.
Activations outputs_of(const graph::Graph& graph, const std::string& layer, const std::vector<Tensor>& batches) {
  graph::Graph tapped = graph;
  tapped.outputs = {graph.find_node(layer)->outputs[0]};
  graph::remove_unused(tapped);
  runtime::Session session = runtime::Session::open(tapped);
  Activations result;
  for (const Tensor& batch : batches) result.push_back(session.run({batch}).at(0));
  return result;
}

TEST(ErrorCurves, RiseFromNothingAndAgreeWithTheRefit) {
  const graph::Graph dense = five_layers();
  const PruneAt prune = pruner(dense);
  const std::vector<Tensor> batches = pictures(4);
  RefitOptions refit_options;
  refit_options.tiles_per_weight = 1000;
  refit_options.all_layers = false;
  refit_options.activation_rounds = 0;  // the curves stop at the layer's own output
  CurveOptions options;
  options.max_iterations = 100;
  const std::vector<LayerCurve> curves =
      measure_curves(dense, {"c", "a", "b"}, prune, batches, refit_options, options);
  ASSERT_EQ(curves.size(), 3U);
  EXPECT_EQ(curves[0].layer, "a");  // in the network's order
  EXPECT_EQ(curves[2].layer, "c");
  for (const LayerCurve& curve : curves) {
    EXPECT_EQ(curve.reason, "");
    EXPECT_EQ(curve.points.front().ratio, 0);
    EXPECT_EQ(curve.points.front().squared_error, 0);
    EXPECT_EQ(curve.points.size(), 1 + options.ratios.size());
    for (std::size_t i = 1; i < curve.points.size(); ++i) {
      EXPECT_GT(curve.points[i].ratio, curve.points[i - 1].ratio);
      EXPECT_GT(curve.points[i].squared_error, 0.9 * curve.points[i - 1].squared_error);
    }
    // One layer alone pruned and refitted: the same problem, measured on the layer's outputs.
    const RefitResult result = refit(prune({{curve.layer, 0.7}}), dense, batches, refit_options);
    const double error = std::sqrt(centred_squared_error(outputs_of(result.graph, curve.layer, batches),
                                                         outputs_of(dense, curve.layer, batches), 1));
    EXPECT_NEAR(std::sqrt(curve.at(0.7).squared_error), error, 0.02 * error) << curve.layer;
    EXPECT_GT(curve.at(0.7).damage, 0);
  }
  // Behind the last layer stands a ReLU alone.
  for (const double ratio : {0.5, 0.84})
    EXPECT_NEAR(curves[2].at(ratio).damage / curves[2].at(ratio).squared_error, 1, 0.5);

  const auto again = measure_curves(dense, {"c", "a", "b"}, prune, batches, refit_options, options);
  for (std::size_t l = 0; l < 3; ++l) {
    EXPECT_EQ(again[l].at(0.5).damage, curves[l].at(0.5).damage);
    EXPECT_EQ(again[l].at(0.5).squared_error, curves[l].at(0.5).squared_error);
  }
}

TEST(ErrorCurves, FloorsEarlierPruningAndMemory) {
  const graph::Graph dense = five_layers(true);
  pruning::PruneConfig config;
  config.min_layer_share = 0.4;
  const std::vector<LayerCurve> floored =
      measure_curves(dense, {"a"}, pruner(dense, config), pictures(2), {});
  EXPECT_NEAR(floored[0].points.back().ratio, 0.6, 0.01);

  const graph::Graph before = pruner(dense)({{"a", 0.5}});
  const std::vector<LayerCurve> further = measure_curves(before, {"a"}, pruner(before), pictures(2), {});
  EXPECT_NEAR(further[0].points.front().ratio, 0.5, 0.01);
  EXPECT_EQ(further[0].points.front().squared_error, 0);
  EXPECT_NEAR(further[0].points[1].ratio, 0.6, 1e-9);

  RefitOptions small;
  small.memory_limit = 10000;
  EXPECT_THAT(measure_curves(dense, {"a"}, pruner(dense), pictures(2), small)[0].reason,
              HasSubstr("memory limit"));
  Tensor grey(DType::f32, {2, 3, 12, 12});
  EXPECT_THAT(measure_curves(dense, {"a"}, pruner(dense), {grey}, {}).size(), 1U);
  EXPECT_THAT(message([&] { measure_curves(dense, {"z"}, pruner(dense), pictures(1), {}); }),
              HasSubstr("layer z"));
  EXPECT_THAT(message([&] { measure_curves(dense, {"a"}, pruner(dense), {}, {}); }),
              HasSubstr("at least one picture"));
  CurveOptions options;
  options.references = {1};
  EXPECT_THAT(message([&] { measure_curves(dense, {"a"}, pruner(dense), pictures(1), {}, options); }),
              HasSubstr("outside (0, 1)"));
}

}  // namespace
}  // namespace wins::refit
