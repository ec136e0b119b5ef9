// 1x1 convolutions through our own GEMM, dense and with pruned columns, against the float64 reference.
#include <hwy/targets.h>

#include "harness.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

using namespace graph;

/// Float32 sums of up to 1,100 products.
constexpr double kL2 = 1e-6, kMax = 2e-6;

struct PointwiseCase {
  std::int64_t n, c, h, w, k, stride = 1;
};

/// Nothing divides anything; one pixel; one channel; strides; several chunks of input channels; batch.
const std::vector<PointwiseCase> kCases{
    {1, 64, 14, 14, 96},   {1, 17, 5, 7, 33},      {1, 1, 3, 3, 1},       {2, 3, 9, 4, 5},       {1, 40, 1, 1, 100},
    {3, 24, 7, 7, 20},     {1, 130, 13, 11, 70, 2}, {2, 33, 8, 9, 16, 3}, {1, 1100, 6, 5, 48},   {2, 513, 7, 7, 31, 2},
    {1, 32, 29, 1, 8},     {9, 16, 4, 4, 24},
};

enum class Zeros { none, blocks, uneven, all };

/// Columns removed from blocks of 16 rows.
Tensor make_weights(const PointwiseCase& t, Zeros zeros) {
  Tensor weights = random_normal({t.k, t.c, 1, 1}, 3, 0.2F);
  auto values = weights.mutable_data<float>();
  std::mt19937 random(7);
  for (std::int64_t block = 0; block < t.k; block += 16) {
    for (std::int64_t c = 0; c < t.c; ++c) {
      const bool kept = zeros == Zeros::none || (zeros == Zeros::blocks && random() % 5 == 0) ||
                        (zeros == Zeros::uneven && random() % 16 < static_cast<unsigned>(block / 16));
      for (std::int64_t k = block; !kept && k < std::min(t.k, block + 16); ++k) {
        values[static_cast<std::size_t>(k * t.c + c)] = 0;
      }
    }
  }
  return weights;
}

Graph make_graph(const PointwiseCase& t, Zeros zeros, bool residual, const Activation& activation) {
  Graph graph;
  const auto x = graph.add_value("x", DType::f32, wins::Shape{t.n, t.c, t.h, t.w});
  graph.inputs = {x};
  Conv conv;
  conv.window.stride = {t.stride, t.stride};
  conv.activation = activation;
  std::vector<ValueId> inputs{x, graph.add_constant("w", make_weights(t, zeros)),
                              graph.add_constant("b", random_normal({t.k}, 5))};
  if (residual) {
    inputs.push_back(graph.add_value("residual", DType::f32,
                                     wins::Shape{t.n, t.k, (t.h - 1) / t.stride + 1, (t.w - 1) / t.stride + 1}));
    graph.inputs.push_back(inputs.back());
  }
  graph.outputs = {graph.add_node("op", conv, inputs)};
  return graph;
}

void check(const Result& result, const std::string& kernel) {
  EXPECT_TRUE(result.layer("op").kernel.starts_with(kernel)) << result.layer("op").kernel;
  EXPECT_LE(result.relative_l2, kL2) << result.layer("op").problem;
  EXPECT_LE(result.max_error, kMax) << result.layer("op").problem;
}

SessionOptions options_with(int threads) {
  SessionOptions options;
  options.threads = threads;
  options.force_kernel = "cpu:pointwise";
  return options;
}

TEST(Pointwise, DenseOnAllShapes) {
  int count = 0;
  for (const PointwiseCase& t : kCases) {
    for (const bool residual : {false, true}) {
      const Graph graph = make_graph(t, Zeros::none, residual, {UnaryKind::relu, 0, 0});
      check(run_both(graph, options_with(1 + count++ % 4)), "cpu:pointwise_dense_");
    }
  }
}

TEST(Pointwise, PrunedColumns) {
  int count = 0;
  for (const PointwiseCase& t : kCases) {
    for (const Zeros zeros : {Zeros::blocks, Zeros::uneven, Zeros::all}) {
      const Graph graph = make_graph(t, zeros, count % 2 == 0, {UnaryKind::leaky_relu, 0.1F, 0});
      check(run_both(graph, options_with(1 + count++ % 4)), t.c > 1 ? "cpu:pointwise_columns_" : "cpu:pointwise_");
    }
  }
}

TEST(Pointwise, PaddedChannelsStayZeroUnderClipsThatLiftZero) {
  Graph graph = make_graph({1, 12, 5, 5, 21}, Zeros::none, false, {UnaryKind::clip, 0.5F, 2.0F});
  // The next layer reads the padding: were it 0.5, only zero weights there would hide it.
  graph.outputs = {graph.add_node("next", Conv{}, {graph.outputs[0], graph.add_constant("v", random_normal({7, 21, 1, 1}, 8))})};
  check(run_both(graph, options_with(2)), "cpu:pointwise_dense_");
}

TEST(Pointwise, EachTarget) {
  struct Target {
    std::int64_t bit;
    std::string name;
  };
  int ran = 0;
  for (const Target& target : {Target{HWY_SSE4, "sse4"}, Target{HWY_AVX2, "avx2"}, Target{HWY_AVX3, "avx3"}}) {
    if ((hwy::SupportedTargets() & target.bit) == 0) continue;
    const TargetScope scope(target.bit);
    for (const PointwiseCase& t : kCases) {
      for (const Zeros zeros : {Zeros::none, Zeros::blocks}) {
        const Graph graph = make_graph(t, zeros, true, {UnaryKind::relu, 0, 0});
        const std::string kind = zeros == Zeros::none || t.c == 1 ? "dense_" : "columns_";
        check(run_both(graph, options_with(2)), "cpu:pointwise_" + kind + target.name);
      }
    }
    ++ran;
  }
  EXPECT_GT(ran, 0);
}

}  // namespace
}  // namespace wins::runtime::cpu_test
