// Winograd layers of stride 2 against the float64 reference.
#include "harness.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

using graph::UnaryKind;
using winograd::Axis;

/// Float32 sums over up to 128 channels and 25 positions.
constexpr double kL2 = 5e-7, kMax = 1e-6;

void check(const Result& result, const std::string& kernel) {
  EXPECT_TRUE(result.layer("conv").kernel.starts_with(kernel)) << result.layer("conv").kernel;
  EXPECT_LE(result.relative_l2, kL2) << result.layer("conv").problem;
  EXPECT_LE(result.max_error, kMax) << result.layer("conv").problem;
}

Extras strided(bool residual) {
  Extras extras;
  extras.residual = residual;
  extras.activation = {UnaryKind::relu, 0, 0};
  extras.stride = 2;
  return extras;
}

bool has_output(const LayerCase& layer) {
  return layer.h + layer.pads[0] + layer.pads[2] >= 3 && layer.w + layer.pads[1] + layer.pads[3] >= 3;
}

TEST(StridedWinograd, MasksOnAllShapes) {
  int count = 0;
  for (const LayerCase& layer : layer_cases()) {
    if (!has_output(layer)) continue;
    for (const Keep keep : {Keep::all, Keep::none, Keep::one_row, Keep::one_position, Keep::uneven, Keep::sixth}) {
      const auto mask = make_mask(Axis::row, keep, 2, layer.k, layer.c, 2);
      SessionOptions options;
      options.threads = 1 + count++ % 4;
      check(run_both(winograd_graph(layer, 2, mask, strided(count % 2 == 0)), options), "cpu:winograd_f2s2_rows_");
    }
  }
}

TEST(StridedWinograd, ColumnAndElementMasks) {
  for (const LayerCase& layer : layer_cases()) {
    if (!has_output(layer)) continue;
    for (const Axis axis : {Axis::column, Axis::element}) {
      const auto mask = make_mask(axis, Keep::sixth, 2, layer.k, layer.c, 2);
      check(run_both(winograd_graph(layer, 2, mask, strided(false)), {}), "cpu:winograd_f2s2_");
    }
  }
}

TEST(StridedWinograd, EachTarget) {
  for (const Target& target : targets_here()) {
    const TargetScope scope(target.bit);
    for (const LayerCase& layer : layer_cases()) {
      if (!has_output(layer)) continue;
      const auto mask = make_mask(Axis::row, Keep::uneven, 2, layer.k, layer.c, 2);
      check(run_both(winograd_graph(layer, 2, mask, strided(true)), {}), std::string("cpu:winograd_f2s2_rows_") + target.name);
    }
  }
}

TEST(StridedWinograd, ADenseConvolutionMayTakeIt) {
  graph::Graph graph;
  const auto x = graph.add_value("x", DType::f32, Shape{1, 24, 17, 15});
  graph.inputs = {x};
  graph::Conv conv;
  conv.window = {{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {}};
  graph.outputs = {graph.add_node("conv", conv, {x, graph.add_constant("w", random_normal({40, 24, 3, 3}, 2, 0.1F))})};
  SessionOptions options;
  options.force_kernel = "cpu:winograd_f2s2_rows";
  check(run_both(graph, options), "cpu:winograd_f2s2_rows_");
}

}  // namespace
}  // namespace wins::runtime::cpu_test
