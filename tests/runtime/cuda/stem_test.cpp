// A network's first convolution straight from its input, alone and with the max-pool behind it, against the float64 reference.
#include "operator_net.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct Stem {
  wins::Shape x;
  std::int64_t k;
  Window conv, pool;
  bool ceil = false;
};

Window window(std::array<std::int64_t, 2> kernel, std::array<std::int64_t, 4> pads, std::int64_t stride = 2) {
  Window w;
  w.kernel = kernel;
  w.stride = {stride, stride};
  w.pads = pads;
  return w;
}

const Window kPool = window({3, 3}, {1, 1, 1, 1}), kPoolWithoutPads = window({3, 3}, {0, 0, 0, 0});

std::vector<Stem> stems() {
  return {
      {{1, 3, 64, 64}, 64, window({7, 7}, {3, 3, 3, 3}), kPool},                       // ResNet, DenseNet
      {{2, 3, 63, 57}, 96, window({7, 7}, {0, 0, 0, 0}), kPoolWithoutPads, true},      // SqueezeNet 1.0
      {{3, 3, 33, 47}, 17, window({7, 7}, {3, 3, 3, 3}), kPool},
      {{1, 3, 224, 224}, 24, window({7, 7}, {3, 3, 3, 3}), kPool},                     // 112 columns in one block
      {{1, 3, 40, 260}, 64, window({7, 7}, {3, 3, 3, 3}), kPool},                      // several blocks side by side
      {{2, 1, 31, 455}, 8, window({7, 7}, {3, 3, 3, 3}), kPoolWithoutPads},
      {{1, 3, 41, 300}, 70, window({3, 3}, {1, 1, 1, 1}), kPool, true},                // MobileNet's convolution
      {{2, 4, 17, 19}, 5, window({5, 6}, {2, 0, 1, 3}), kPool},
      {{1, 2, 26, 19}, 40, window({3, 4}, {0, 2, 1, 1}), window({3, 3}, {1, 0, 0, 1}), true},
      {{1, 3, 6, 5}, 8, window({7, 7}, {3, 3, 3, 3}), kPool},                          // less than a window
      {{1, 3, 9, 64}, 20, window({2, 2}, {0, 0, 0, 0}), window({3, 3}, {0, 1, 1, 1})},
      {{2, 3, 20, 21}, 130, window({1, 1}, {0, 0, 0, 0}), kPool},
  };
}

/// Of stride 1. No kernel takes their pool too.
std::vector<Stem> dense_stems() {
  return {
      {{2, 3, 64, 64}, 64, window({3, 3}, {1, 1, 1, 1}, 1), kPool},      // VGG
      {{3, 3, 32, 32}, 16, window({3, 3}, {1, 1, 1, 1}, 1), kPool},      // ResNets of CIFAR
      {{1, 3, 224, 224}, 24, window({3, 3}, {1, 1, 1, 1}, 1), kPool},    // 224 columns in one block
      {{2, 1, 28, 28}, 6, window({5, 5}, {2, 2, 2, 2}, 1), kPool},       // LeNet
      {{1, 3, 33, 47}, 17, window({7, 7}, {3, 3, 3, 3}, 1), kPool},
      {{3, 4, 17, 19}, 70, window({3, 3}, {0, 0, 0, 0}, 1), kPool},      // the last column is a parity's last
      {{1, 2, 9, 455}, 130, window({3, 3}, {2, 2, 2, 2}, 1), kPool},     // several blocks side by side, and three slices
      {{1, 3, 12, 226}, 40, window({5, 6}, {2, 0, 1, 3}, 1), kPool},
      {{2, 3, 11, 129}, 8, window({2, 7}, {0, 1, 1, 2}, 1), kPool},
      {{1, 3, 6, 5}, 20, window({1, 1}, {0, 0, 0, 0}, 1), kPool},
  };
}

/// Convolution "op" and max-pool "pool" behind it.
struct Build {
  Graph graph;
  ValueId in = kNone, conv = kNone, pool = kNone;
  Tensor x;
  std::string force = "cuda:stem";

  explicit Build(const Stem& stem, Activation activation = {UnaryKind::relu, 0, 0}, bool bias = true) : x(random_normal(stem.x, 77)) {
    in = graph.add_value("in", DType::f32, stem.x);
    graph.inputs = {in};
    Conv op;
    op.window = stem.conv;
    op.activation = activation;
    const wins::Shape weights{stem.k, stem.x[1], stem.conv.kernel[0], stem.conv.kernel[1]};
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

  /// Runs in every precision, compares, and calls `check(plan)`.
  template <class Check>
  void run(const Check& check) const {
    const std::vector<Tensor> reference = ref::run(graph, {x}, ref::Precision::float64);
    for (const PrecisionCase& t : kPrecisions) {
      SCOPED_TRACE(to_string(x.shape()) + " " + t.name);
      SessionOptions options;
      options.backend = "cuda";
      options.precision = t.precision;
      options.force_kernel = force;
      Session session = Session::open(graph, options);
      const Plan plan = session.plan({x.shape()});
      const std::vector<Tensor> first = session.run({x}), second = session.run({x});
      ASSERT_EQ(first.size(), reference.size());
      for (std::size_t i = 0; i < reference.size(); ++i) {
        ASSERT_EQ(first[i].shape(), reference[i].shape());
        EXPECT_LE(relative_l2(first[i], reference[i]), t.bound) << plan.text();
        EXPECT_LE(max_abs_difference(first[i], reference[i]), 4 * t.bound * largest(reference[i])) << plan.text();
        EXPECT_TRUE(std::equal(first[i].bytes(), first[i].bytes() + first[i].byte_size(), second[i].bytes())) << "runs differ";
      }
      check(plan);
    }
  }

  static double largest(const Tensor& tensor) {
    double result = 0;
    const Tensor floats = tensor.cast(DType::f32);
    for (const float value : floats.data<float>()) result = std::max(result, std::fabs(static_cast<double>(value)));
    return result;
  }
};

const LayerPlan& line_of(const Plan& plan, const std::string& node) {
  return *std::ranges::find_if(plan.layers, [&](const LayerPlan& line) { return line.node == node; });
}

bool converts_input(const Plan& plan) {
  return std::ranges::any_of(plan.layers, [](const LayerPlan& line) { return line.kernel == "cuda:reorder_from_host"; });
}

void expect_together(const Plan& plan) {
  EXPECT_EQ(line_of(plan, "op").kernel, "cuda:stem+max_pool");
  EXPECT_EQ(line_of(plan, "op").inside, std::vector<std::string>{"pool"});
  EXPECT_FALSE(converts_input(plan)) << plan.text();
  EXPECT_TRUE(std::ranges::none_of(plan.layers, [](const LayerPlan& line) { return line.kernel == "cuda:pool"; })) << plan.text();
}

class CudaStem : public Operators {};

TEST_F(CudaStem, PoolsInTheSameStep) {
  for (const Stem& stem : stems()) Build(stem).run(expect_together);
}

void expect_alone(const Stem& stem) {
  Build b(stem);
  b.graph.outputs = {b.conv};
  b.graph.nodes.pop_back();
  b.run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem");
    EXPECT_FALSE(converts_input(plan)) << plan.text();
  });
}

TEST_F(CudaStem, WithoutAPool) {
  for (const Stem& stem : stems()) expect_alone(stem);
}

TEST_F(CudaStem, WithStrideOne) {
  for (const Stem& stem : dense_stems()) expect_alone(stem);
}

TEST_F(CudaStem, WithStrideOneAPoolStaysAlone) {
  Build(dense_stems()[1]).run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem");
    EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool");
  });
}

TEST_F(CudaStem, WithStrideOneActivationsAndNoBias) {
  for (const Activation& activation : {Activation{UnaryKind::identity, 0, 0}, Activation{UnaryKind::clip, 0.25F, 1.5F}, Activation{UnaryKind::leaky_relu, 0.1F, 0}}) {
    for (const bool bias : {true, false}) {
      Build(dense_stems()[4], activation, bias).run([](const Plan& plan) { EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem"); });
    }
  }
}

TEST_F(CudaStem, WithStrideOneIntoAConcatenation) {
  Build b(dense_stems()[1]);
  const ValueId other = b.graph.add_node("other", Conv{}, {b.conv, b.graph.add_constant("o", random_normal({24, 16, 1, 1}, 9, 0.2F))});
  b.graph.outputs = {b.graph.add_node("cat", Concat{1}, {b.conv, other})};
  b.run([](const Plan& plan) { EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem"); });
}

TEST_F(CudaStem, RefusesOtherStridesAndLargerKernels) {
  Window mixed = window({3, 3}, {1, 1, 1, 1}, 1);
  mixed.stride = {1, 2};
  for (const Window& conv : {mixed, window({3, 3}, {1, 1, 1, 1}, 3), window({3, 8}, {1, 2, 1, 2}, 1), window({8, 3}, {1, 1, 1, 1}, 1)}) {
    Build({{1, 3, 33, 47}, 17, conv, kPool}).run([](const Plan& plan) { EXPECT_NE(kernel_of(plan, "op").substr(0, 9), "cuda:stem"); });
  }
}

TEST_F(CudaStem, ActivationsAndNoBias) {
  for (const Activation& activation : {Activation{UnaryKind::identity, 0, 0}, Activation{UnaryKind::clip, 0.25F, 1.5F}, Activation{UnaryKind::leaky_relu, 0.1F, 0}}) {
    for (const bool bias : {true, false}) Build(stems()[2], activation, bias).run(expect_together);
  }
  Build other(stems()[2], {UnaryKind::silu, 0, 0});
  other.run([](const Plan& plan) {
    EXPECT_NE(kernel_of(plan, "op").substr(0, 9), "cuda:stem");
    EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool");
  });
}

TEST_F(CudaStem, ChannelsThatDoNotExistStayZero) {
  // The next convolution reads whole units; a clip to [0.25, 1.5] makes something of zeros.
  Build b(stems()[2], {UnaryKind::clip, 0.25F, 1.5F});
  b.graph.outputs = {b.graph.add_node("next", Conv{}, {b.pool, b.graph.add_constant("n", random_normal({8, 17, 1, 1}, 9))})};
  b.run(expect_together);
}

TEST_F(CudaStem, WritesIntoAConcatenation) {
  Build b(stems()[0]);
  const ValueId other = b.graph.add_node("other", Conv{}, {b.pool, b.graph.add_constant("o", random_normal({16, 64, 1, 1}, 9, 0.1F))});
  b.graph.outputs = {b.graph.add_node("cat", Concat{1}, {b.pool, other})};
  b.run(expect_together);
}

TEST_F(CudaStem, OtherReadersOfTheInputGetItConverted) {
  Build b(stems()[2]);
  b.graph.outputs.push_back(b.graph.add_node("more", Unary{{UnaryKind::relu, 0, 0}}, {b.in}));
  b.graph.outputs.push_back(b.graph.add_node("cat", Concat{1}, {b.in, b.in}));
  b.run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem+max_pool");
    EXPECT_EQ(std::ranges::count(plan.layers, "cuda:reorder_from_host", &LayerPlan::kernel), 1);
  });
}

TEST_F(CudaStem, APoolStaysAloneWhenSomethingElseReadsTheConvolution) {
  Build b(stems()[2]);
  b.graph.outputs.push_back(b.conv);
  b.run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem");
    EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool");
  });
}

TEST_F(CudaStem, OtherPoolsStayAlone) {
  Stem stem = stems()[2];
  stem.pool = window({2, 2}, {0, 0, 0, 0});
  Build(stem).run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem");
    EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool");
  });
}

TEST_F(CudaStem, RefusesResidualsAndInnerLayers) {
  Build residual(stems()[0]);
  Node& conv = residual.graph.nodes.at(0);
  conv.inputs.resize(4, kNone);
  conv.inputs[3] = residual.graph.add_constant("r", random_normal({1, 64, 32, 32}, 4));
  residual.run([](const Plan& plan) { EXPECT_NE(kernel_of(plan, "op").substr(0, 9), "cuda:stem"); });

  Build inner(stems()[0]);
  const ValueId first = inner.graph.add_node("first", Unary{{UnaryKind::abs, 0, 0}}, {inner.in});
  std::rotate(inner.graph.nodes.begin(), inner.graph.nodes.end() - 1, inner.graph.nodes.end());
  inner.graph.nodes.at(1).inputs[0] = first;
  inner.run([](const Plan& plan) { EXPECT_NE(kernel_of(plan, "op").substr(0, 9), "cuda:stem"); });
}

TEST_F(CudaStem, PicturesOfAnySize) {
  // fp32 and tf32 multiply numbers of 16 bits under scales of their own.
  for (const float size : {1e-12F, 1e-4F, 255.0F}) {
    Build b(stems()[2], {UnaryKind::relu, 0, 0}, false);
    auto values = b.x.mutable_data<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= i % 3 == 0 ? size : size * 0.01F;
    if (size < 1e-6F) {
      const std::vector<Tensor> reference = ref::run(b.graph, {b.x}, ref::Precision::float64);
      SessionOptions options;
      options.backend = "cuda";
      options.force_kernel = "cuda:stem";
      EXPECT_LE(relative_l2(Session::open(b.graph, options).run({b.x}).at(0), reference.at(0)), 1e-5);
    } else {
      b.run(expect_together);
    }
  }
}

TEST_F(CudaStem, TheEngineChoosesIt) {
  Build b({{2, 3, 224, 224}, 64, window({7, 7}, {3, 3, 3, 3}), kPool});
  b.force.clear();
  b.run(expect_together);
}

TEST_F(CudaStem, TheEngineChoosesItWithStrideOne) {
  Build b({{2, 3, 224, 224}, 64, window({3, 3}, {1, 1, 1, 1}, 1), kPool});
  b.force.clear();
  b.run([](const Plan& plan) { EXPECT_EQ(kernel_of(plan, "op"), "cuda:stem") << plan.text(); });
}

TEST_F(CudaStem, AnotherForcedKernelKeepsThePool) {
  Build b(stems()[0]);
  b.force = "cuda:direct";
  b.run([](const Plan& plan) {
    EXPECT_EQ(kernel_of(plan, "op"), "cuda:direct");
    EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool");
    EXPECT_TRUE(converts_input(plan));
  });
}

}  // namespace
}  // namespace wins::runtime::cuda_test
