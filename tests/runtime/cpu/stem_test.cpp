// A network's first convolution, with the max-pool behind it in the same step.
#include "net.hpp"
#include "target_scope.hpp"

namespace wins::runtime::cpu_test {
namespace {

/// Measured: up to 1e-6 on normal data; a pooled output has larger values.
constexpr double kStemBound = 1.5e-6;

struct Stem {
  wins::Shape x;
  std::int64_t k;
  Window conv, pool;
  bool ceil = false;
};

Window window(std::array<std::int64_t, 2> kernel, std::int64_t stride, std::array<std::int64_t, 4> pads) {
  Window w;
  w.kernel = kernel;
  w.stride = {stride, stride};
  w.pads = pads;
  return w;
}

std::vector<Stem> stems() {
  return {
      {{1, 3, 64, 64}, 64, window({7, 7}, 2, {3, 3, 3, 3}), window({3, 3}, 2, {1, 1, 1, 1})},   // ResNet, DenseNet
      {{2, 3, 63, 57}, 96, window({7, 7}, 2, {0, 0, 0, 0}), window({3, 3}, 2, {0, 0, 0, 0}), true},  // SqueezeNet 1.0
      {{3, 3, 33, 47}, 17, window({7, 7}, 2, {3, 3, 3, 3}), window({3, 3}, 2, {1, 1, 1, 1})},
      {{1, 1, 21, 70}, 5, window({5, 6}, 2, {2, 0, 1, 3}), window({2, 2}, 2, {0, 0, 0, 0})},
      {{2, 4, 17, 9}, 33, window({8, 7}, 2, {3, 2, 4, 3}), window({3, 3}, 1, {1, 1, 1, 1})},  // two windows over each edge
      {{1, 2, 26, 19}, 40, window({3, 3}, 1, {1, 1, 1, 1}), window({5, 4}, 3, {2, 1, 2, 1})},
      {{1, 3, 18, 15}, 24, window({4, 3}, 1, {1, 1, 2, 1}), window({3, 2}, 2, {1, 0, 1, 0}), true},
      {{1, 3, 40, 11}, 16, window({3, 3}, 1, {0, 0, 0, 0}), window({2, 3}, 4, {0, 0, 0, 0})},  // rows that no window reads
      {{1, 3, 6, 5}, 8, window({7, 7}, 2, {3, 3, 3, 3}), window({3, 3}, 2, {1, 1, 1, 1})},     // less than a tile
      {{1, 3, 9, 64}, 20, window({7, 7}, 2, {3, 3, 3, 3}), window({5, 5}, 1, {2, 2, 2, 2})},
  };
}

/// Convolution "op" and max-pool "pool" behind it.
struct Build {
  Graph graph;
  ValueId conv = kNone, pool = kNone;

  Build(const Stem& stem, UnaryKind activation, bool bias = true) {
    const ValueId in = graph.add_value("in", DType::f32, stem.x);
    graph.inputs = {in};
    Conv op;
    op.window = stem.conv;
    op.activation = {activation, activation == UnaryKind::clip ? 0.25F : 0.1F, 1.5F};
    const wins::Shape weights{stem.k, stem.x[1], stem.conv.kernel[0], stem.conv.kernel[1]};
    // Outputs of about unit variance: errors are measured against the largest.
    const auto deviation = 1 / std::sqrt(static_cast<float>(weights[1] * weights[2] * weights[3]));
    std::vector<ValueId> inputs{in, graph.add_constant("w", random_normal(weights, 5, deviation))};
    if (bias) inputs.push_back(graph.add_constant("b", random_normal({stem.k}, 6, 0.3F)));
    conv = graph.add_node("op", op, inputs);
    Pool behind;
    behind.window = stem.pool;
    behind.ceil_mode = stem.ceil;
    pool = graph.add_node("pool", behind, {conv});
    graph.outputs = {pool};
  }
  Result run(int threads, const std::string& kernel = "cpu:stem") {
    SessionOptions options;
    options.threads = threads;
    options.force_kernel = kernel;
    Result result = run_both(graph, options);
    EXPECT_LE(result.relative_l2, kStemBound);
    EXPECT_LE(result.max_error, 4 * kStemBound);
    return result;
  }
};

void expect_together(const Result& result, const std::string& target) {
  EXPECT_EQ(result.layer("op").kernel, "cpu:stem_f4_" + target + "+max_pool");
  EXPECT_EQ(result.layer("op").inside, std::vector<std::string>{"pool"});
  EXPECT_EQ(result.plan.layers.size(), 2U);  // and the output's reorder
}

TEST(Stem, PoolsInTheSameStepOnEveryTargetAndAnyNumberOfThreads) {
  for (const Stem& stem : stems()) {
    Build b(stem, UnaryKind::relu);
    for (const Target& target : targets_here()) {
      const TargetScope scope(target.bit);
      std::vector<Tensor> first;
      for (int threads = 1; threads <= 4; ++threads) {
        SCOPED_TRACE(to_string(stem.x) + " " + target.name + " threads " + std::to_string(threads));
        const Result result = b.run(threads);
        expect_together(result, target.name);
        if (first.empty()) first = result.outputs;
        const Tensor &one = first[0], &other = result.outputs[0];
        EXPECT_TRUE(std::equal(one.bytes(), one.bytes() + one.byte_size(), other.bytes())) << "other bits";
      }
    }
  }
}

TEST(Stem, ActivationsBehindThePool) {
  for (const UnaryKind kind : {UnaryKind::identity, UnaryKind::clip, UnaryKind::leaky_relu}) {
    for (const bool bias : {true, false}) {
      Build b(stems()[2], kind, bias);
      expect_together(b.run(2), targets_here().back().name);
    }
  }
}

TEST(Stem, ChannelsThatDoNotExistStayZero) {
  // The next convolution reads whole blocks; a clip to [0.25, 1.5] makes something of zeros.
  Build b(stems()[2], UnaryKind::clip);
  b.graph.outputs = {b.graph.add_node("next", Conv{}, {b.pool, b.graph.add_constant("n", random_normal({8, 17, 1, 1}, 9))})};
  EXPECT_EQ(b.run(2).layer("op").inside.size(), 1U);
}

TEST(Stem, TheEngineChoosesItWhereItIsFaster) {
  Build b({{1, 3, 224, 224}, 64, window({7, 7}, 2, {3, 3, 3, 3}), window({3, 3}, 2, {1, 1, 1, 1})}, UnaryKind::relu);
  expect_together(b.run(2, ""), targets_here().back().name);
  Build small({{1, 3, 224, 224}, 64, window({3, 3}, 1, {1, 1, 1, 1}), window({2, 2}, 2, {0, 0, 0, 0})}, UnaryKind::relu);
  const Result result = small.run(2, "cpu:direct");
  EXPECT_TRUE(result.layer("op").inside.empty());
  EXPECT_TRUE(result.layer("op").kernel.starts_with("cpu:direct"));
  EXPECT_TRUE(result.layer("pool").kernel.starts_with("cpu:pooling"));
}

TEST(Stem, NotTogetherWhenSomethingElseReadsTheConvolution) {
  Build b(stems()[0], UnaryKind::relu);
  b.graph.outputs = {b.pool, b.conv};
  const Result result = b.run(2);
  EXPECT_TRUE(result.layer("op").inside.empty());
  EXPECT_EQ(result.layer("op").kernel, std::string("cpu:stem_f4_") + targets_here().back().name);
  EXPECT_TRUE(result.layer("pool").kernel.starts_with("cpu:pooling"));
}

TEST(Stem, AveragesArePooledOnTheirOwn) {
  Build b(stems()[0], UnaryKind::relu);
  std::get<Pool>(b.graph.nodes.back().op).kind = Pool::Kind::average;
  EXPECT_TRUE(b.run(2).layer("op").inside.empty());
}

TEST(Stem, WritesIntoAConcatenation) {
  for (const std::int64_t batch : {1, 3}) {
    Stem stem = stems()[0];
    stem.x[0] = batch;
    Build b(stem, UnaryKind::relu);
    const ValueId other = b.graph.add_node("other", Conv{}, {b.pool, b.graph.add_constant("o", random_normal({16, 64, 1, 1}, 9, 0.1F))});
    b.graph.outputs = {b.graph.add_node("cat", Concat{1}, {b.pool, other})};
    const Result result = b.run(2);
    EXPECT_EQ(result.layer("op").inside.size(), 1U);
    EXPECT_TRUE(std::none_of(result.plan.layers.begin(), result.plan.layers.end(), [](const LayerPlan& layer) {
      return layer.kernel.starts_with("cpu:concat") || layer.kernel.starts_with("cpu:copy");
    }));
  }
}

TEST(Stem, TheErrorBoundDecides) {
  Build b(stems()[0], UnaryKind::relu);
  SessionOptions options;
  options.threads = 2;
  options.error_bound = 5e-7;
  const Result result = run_both(b.graph, options);
  EXPECT_TRUE(result.layer("op").kernel.starts_with("cpu:direct")) << result.layer("op").kernel;
  EXPECT_LE(result.relative_l2, options.error_bound);
}

}  // namespace
}  // namespace wins::runtime::cpu_test
