// The fused Winograd kernels against the float64 reference, on the shape list.
#include <thread>

#include "harness.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

using graph::Activation;
using graph::UnaryKind;
using winograd::Axis;

struct Bound {
  double l2, max;
};
/// Float32 rounding of F(m,3) over up to 128 channels: 1.5 times what was measured.
Bound bound(int m) {
  if (m == 2) return {5e-7, 7e-7};
  return m == 4 ? Bound{1.5e-6, 3e-6} : Bound{6e-6, 2.2e-5};
}

std::string rows_kernel(int m) {
  return "cpu:winograd_f" + std::to_string(m) + "_rows_";
}

void check(const Result& result, int m, const std::string& kernel, const std::string& what) {
  SCOPED_TRACE(what);
  EXPECT_TRUE(result.layer("conv").kernel.starts_with(kernel)) << result.layer("conv").kernel;
  EXPECT_LE(result.relative_l2, bound(m).l2);
  EXPECT_LE(result.max_error, bound(m).max);
}

class WinogradLayers : public testing::TestWithParam<int> {};

TEST_P(WinogradLayers, RowMasksOnAllShapes) {
  const int m = GetParam();
  int threads = 0;
  for (const LayerCase& layer : layer_cases()) {
    for (const Keep keep :
         {Keep::all, Keep::none, Keep::one_row, Keep::one_position, Keep::uneven, Keep::sixth}) {
      const auto mask = make_mask(Axis::row, keep, m, layer.k, layer.c);
      SessionOptions options;
      options.threads = 1 + threads++ % 4;
      const Result result = run_both(winograd_graph(layer, m, mask), options);
      check(result, m, rows_kernel(m),
            result.layer("conv").problem + " threads " + std::to_string(options.threads));
    }
  }
}

TEST_P(WinogradLayers, ColumnAndElementMasks) {
  const int m = GetParam();
  SessionOptions options;
  options.threads = 2;
  for (const LayerCase& layer : layer_cases()) {
    for (const Keep keep : {Keep::none, Keep::one_position, Keep::uneven, Keep::sixth}) {
      for (const Axis axis : {Axis::column, Axis::element}) {
        const auto mask = make_mask(axis, keep, m, layer.k, layer.c);
        const Result result = run_both(winograd_graph(layer, m, mask), options);
        check(result, m, "cpu:winograd_f" + std::to_string(m), result.layer("conv").problem);
      }
    }
  }
}

TEST_P(WinogradLayers, Epilogues) {
  const int m = GetParam();
  const LayerCase layer{2, 19, 9, 8, 21};
  const auto mask = make_mask(Axis::row, Keep::uneven, m, layer.k, layer.c);
  const Activation activations[] = {{},
                                    {UnaryKind::relu, 0, 0},
                                    {UnaryKind::clip, 0.1F, 6.0F},
                                    {UnaryKind::leaky_relu, 0.1F, 0},
                                    {UnaryKind::silu, 0, 0},
                                    {UnaryKind::hard_swish, 0, 0},
                                    {UnaryKind::sigmoid, 0, 0}};
  for (const Activation& activation : activations) {
    for (const bool residual : {false, true}) {
      for (const bool bias : {false, true}) {
        const Result result = run_both(winograd_graph(layer, m, mask, {bias, residual, activation}), {});
        check(result, m, rows_kernel(m), result.layer("conv").problem);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, WinogradLayers, testing::Values(2, 4, 6));

TEST(Winograd, SparseElementMaskRunsAsCsr) {
  const LayerCase layer{1, 64, 14, 14, 64};
  std::mt19937 random(3);
  auto mask = make_mask(Axis::element, Keep::all, 2, layer.k, layer.c);
  for (auto& keep : mask.keep) keep = random() % 10 == 0;
  const Result result = run_both(winograd_graph(layer, 2, mask), {});
  check(result, 2, "cpu:winograd_f2_csr_", "90 % of the elements pruned");
}

TEST(Winograd, DenseConvolutionTakesTheForcedTile) {
  for (const int m : {0, 2, 4, 6}) {
    graph::Graph graph;
    const auto x = graph.add_value("x", DType::f32, Shape{1, 64, 28, 28});
    graph.inputs = {x};
    graph::Conv conv;
    conv.window.kernel = {3, 3};
    conv.window.pads = {1, 1, 1, 1};
    graph.outputs = {
        graph.add_node("conv", conv, {x, graph.add_constant("w", random_normal({64, 64, 3, 3}, 2, 0.05F))})};
    SessionOptions options;
    options.force_m = m;
    options.winograd = m != 0;
    const Result result = run_both(graph, options);
    check(result, m == 0 ? 2 : m, m == 0 ? "cpu:direct" : rows_kernel(m), "forced " + std::to_string(m));
    if (m == 0) {
      EXPECT_EQ(result.layer("conv").refused.at(0).second, "Winograd is off");
    }
  }
}

TEST(Winograd, ErrorBoundRefusesLargeTiles) {
  graph::Graph graph;
  const auto x = graph.add_value("x", DType::f32, Shape{1, 64, 28, 28});
  graph.inputs = {x};
  graph::Conv conv;
  conv.window.kernel = {3, 3};
  conv.window.pads = {1, 1, 1, 1};
  graph.outputs = {
      graph.add_node("conv", conv, {x, graph.add_constant("w", random_normal({64, 64, 3, 3}, 2, 0.05F))})};
  SessionOptions options;
  options.error_bound = 5e-7;
  const Result result = run_both(graph, options);
  EXPECT_LE(result.relative_l2, options.error_bound);
  for (const auto& [kernel, reason] : result.layer("conv").refused) {
    if (kernel == "cpu:winograd_f6_rows" || kernel == "cpu:winograd_f4_rows") {
      EXPECT_NE(reason.find("over the bound"), std::string::npos) << kernel << ": " << reason;
    }
  }
}

TEST(WinogradTargets, EachTargetMatchesTheReference) {
  const auto targets = targets_here();
  ASSERT_FALSE(targets.empty());
  for (const Target& target : targets) {
    const TargetScope scope(target.bit);
    for (const LayerCase& layer : {LayerCase{1, 40, 14, 14, 48}, LayerCase{2, 17, 11, 13, 5}}) {
      for (const int m : {2, 4, 6}) {
        const auto rows = make_mask(Axis::row, Keep::uneven, m, layer.k, layer.c);
        const Result result =
            run_both(winograd_graph(layer, m, rows, {true, true, {UnaryKind::relu, 0, 0}}), {});
        check(result, m, rows_kernel(m) + target.name, target.name);
        const auto elements = make_mask(Axis::element, Keep::sixth, m, layer.k, layer.c);
        check(run_both(winograd_graph(layer, m, elements), {}), m, "cpu:winograd_f" + std::to_string(m),
              target.name);
      }
    }
  }
}

Tensor small_integers(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 7) - 3);
  return Tensor::of<float>(shape, values);
}

TEST(WinogradTargets, F23IsExactOnSmallIntegers) {
  for (const Target& target : targets_here()) {
    const TargetScope scope(target.bit);
    for (const Keep keep : {Keep::all, Keep::uneven}) {
      const LayerCase layer{2, 24, 13, 15, 20};
      graph::Graph graph = winograd_graph(layer, 2, make_mask(Axis::row, keep, 2, layer.k, layer.c));
      auto& conv = std::get<graph::WinogradConv>(graph.nodes[0].op);
      Tensor U =
          winograd::transform_weights(winograd::algorithm(2, 3), small_integers({layer.k, layer.c, 3, 3}, 1));
      auto values = U.mutable_data<float>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (conv.mask.keep[i / static_cast<std::size_t>(layer.c)] == 0) values[i] = 0;
      }
      graph.value(graph.nodes[0].inputs[1]).constant = U;
      graph.value(graph.nodes[0].inputs[2]).constant = small_integers({layer.k}, 2);
      const Result result = run_both(graph, {}, {small_integers({layer.n, layer.c, layer.h, layer.w}, 4)});
      EXPECT_EQ(result.max_error, 0) << target.name;
    }
  }
}

TEST(Winograd, SessionsInSeveralThreadsShareWeights) {
  const LayerCase layer{1, 32, 14, 14, 32};
  const auto mask = make_mask(Axis::row, Keep::uneven, 2, layer.k, layer.c);
  const auto graph = graph::specialize(winograd_graph(layer, 2, mask), {{1, 32, 14, 14}});
  const auto backend = make_cpu_backend();
  const auto cache = backend->make_cache();
  SessionOptions options;
  options.threads = 2;
  std::vector<std::unique_ptr<Executable>> executables;
  for (int i = 0; i < 3; ++i) executables.push_back(backend->compile(graph, options, cache));
  const Tensor x = random_normal({1, 32, 14, 14}, 1);
  const Tensor expected = executables[0]->run({x})[0];
  std::vector<int> wrong(executables.size(), 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < executables.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) {
        const Tensor y = executables[t]->run({x})[0];
        wrong[t] += !std::equal(y.bytes(), y.bytes() + y.byte_size(), expected.bytes());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(executables.size(), 0));
}

}  // namespace
}  // namespace wins::runtime::cpu_test
