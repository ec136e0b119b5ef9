// Parts of a concatenation of several images: every kernel reads and writes them where they lie.
#include <functional>

#include "concat_net.hpp"

namespace wins::runtime::cpu_test {
namespace {

/// Batches and pictures of all kinds.
struct Case {
  std::int64_t batch, height, width;
  int threads;
};
const std::vector<Case> kCases{{1, 7, 5, 2}, {2, 7, 5, 1}, {3, 13, 9, 2}, {3, 1, 1, 4}, {2, 1, 6, 3}, {3, 6, 6, 4}};

/// Large enough that oneDNN runs them image by image, also where memory is fast and threads start slowly; smaller ones it takes at once, and copies.
const std::vector<Case> kLargeCases{{1, 9, 11, 2}, {2, 45, 61, 1}, {3, 68, 76, 2}, {3, 77, 69, 4}};

const std::vector<Case>& cases_of(const std::string& kernel) {
  return kernel == "cpu:direct" ? kLargeCases : kCases;
}

/// With every convolution by `kernel`; of m = 6 the bound is larger.
Build build_case(const Case& c, const std::string& kernel = {}) {
  Build b(c.batch, c.height, c.width);
  b.options.threads = c.threads;
  b.options.force_kernel = kernel;
  if (kernel == "cpu:winograd_f6_rows") b.bound = 6e-6;
  return b;
}

TEST(Pitch, ConvolutionsWriteAndReadParts) {
  for (const std::string kernel : {"cpu:winograd_f2_rows", "cpu:winograd_f4_rows", "cpu:winograd_f6_rows", "cpu:pointwise", "cpu:direct"}) {
    for (const Case& c : cases_of(kernel)) {
      Build b = build_case(c, kernel);
      const std::int64_t size = kernel.starts_with("cpu:winograd") ? 3 : 1;
      const ValueId a = b.window("a", b.in, {16, 32, size}), e = b.window("ee", a, {32, 37, size});
      const ValueId joined = b.concat("cat", {a, e});
      const Result result = b.run({b.window("next", joined, {69, 8, size}), b.window("again", e, {37, 8, size})});
      EXPECT_EQ(count_copies(result), 0) << kernel << " batch " << c.batch;
      for (const char* node : {"a", "ee", "next", "again"}) {
        EXPECT_TRUE(result.layer(node).kernel.starts_with(kernel)) << result.layer(node).kernel;
      }
    }
  }
}

TEST(Pitch, ResidualsAndActivationsInsideParts) {
  const Activation none, relu{UnaryKind::relu, 0, 0}, leaky{UnaryKind::leaky_relu, 0.2F, 0}, sigmoid{UnaryKind::sigmoid, 0, 0};
  for (const std::string kernel : {"cpu:winograd_f2_rows", "cpu:winograd_f4_rows", "cpu:pointwise", "cpu:direct"}) {
    for (const Case& c : cases_of(kernel)) {
      for (const Activation& activation : {none, relu, leaky, sigmoid}) {
        if (kernel == "cpu:pointwise" && activation.kind == UnaryKind::sigmoid) continue;  // refuses it
        Build b = build_case(c, kernel);
        const std::int64_t size = kernel.starts_with("cpu:winograd") ? 3 : 1;
        // Residuals: outside of the result, a part of it, and of a part into what is none.
        const ValueId whole = b.window("whole", b.in, {16, 32, size}), first = b.window("first", b.in, {16, 21, size}, kNone, activation);
        const ValueId a = b.window("a", b.in, {16, 32, size}, whole, activation);
        const ValueId e = b.window("ee", b.in, {16, 32, size}, a, activation);
        const ValueId out = b.window("out", b.in, {16, 32, size}, e, activation);
        const Result result = b.run({b.concat("cat", {a, e, first}), out, whole});
        EXPECT_EQ(count_copies(result), 0) << kernel << " batch " << c.batch;
        for (const char* node : {"a", "ee", "out", "first"}) {
          EXPECT_TRUE(result.layer(node).kernel.starts_with(kernel)) << result.layer(node).kernel;
        }
      }
    }
  }
}

TEST(Pitch, StridesAndGroups) {
  for (const Case& c : kLargeCases) {
    Build b = build_case(c);
    const ValueId a = b.conv("a", b.in, 16, 16), e = b.conv("ee", b.in, 16, 16);
    Conv depthwise;
    depthwise.group = 16;
    depthwise.window.kernel = {3, 3};
    depthwise.window.pads = {1, 1, 1, 1};
    const ValueId d = b.graph.add_node("depthwise", depthwise, {e, b.graph.add_constant("d.w", random_normal({16, 1, 3, 3}, 4))});
    const ValueId strided = b.conv("strided", e, 16, 24, 2);
    EXPECT_EQ(count_copies(b.run({b.concat("cat", {a, e, d}), strided})), 0);
  }
}

/// An operator on a value of so many channels.
struct Maker {
  std::string kernel;
  std::function<ValueId(Build&, const std::string&, ValueId, std::int64_t)> make;
};

std::vector<Maker> makers() {
  const auto unary = [](UnaryKind kind) {
    return [kind](Build& b, const std::string& name, ValueId x, std::int64_t) { return b.graph.add_node(name, Unary{{kind, 0, 0}}, {x}); };
  };
  const auto pool = [](Pool::Kind kind) {
    return [kind](Build& b, const std::string& name, ValueId x, std::int64_t) { return b.pool(name, x, kind); };
  };
  const auto binary = [](BinaryKind kind, UnaryKind after) {
    return [=](Build& b, const std::string& name, ValueId x, std::int64_t channels) {
      const ValueId constant = b.graph.add_constant(name + ".c", random_normal({channels, 1, 1}, 3));
      const ValueId mean = b.graph.add_node(name + ".mean", GlobalPool{Pool::Kind::average}, {x});
      const ValueId inner = b.graph.add_node(name + ".inner", Binary{kind, {}}, {mean, x});
      return b.graph.add_node(name, Binary{kind, {after, 0, 0}}, {inner, constant});
    };
  };
  const auto resize = [](Resize::Mode mode) {
    return [mode](Build& b, const std::string& name, ValueId x, std::int64_t) {
      const ValueId scales = b.graph.add_constant(name + ".s", Tensor::of<float>({4}, {1, 1, 2, 3}));
      return b.graph.add_node(name, Resize{mode}, {x, kNone, scales});
    };
  };
  const auto prelu = [](Build& b, const std::string& name, ValueId x, std::int64_t channels) {
    return b.graph.add_node(name, PRelu{}, {x, b.graph.add_constant(name + ".c", random_normal({channels, 1, 1}, 3))});
  };
  const auto pad = [](Build& b, const std::string& name, ValueId x, std::int64_t) {
    return b.graph.add_node(name, Pad{}, {x, b.graph.add_constant(name + ".p", Tensor::of<std::int64_t>({8}, {0, 0, 1, 2, 0, 0, 0, 1}))});
  };
  const auto norm = [](Build& b, const std::string& name, ValueId x, std::int64_t channels) { return b.norm(name, x, channels); };
  return {{"cpu:pooling", pool(Pool::Kind::max)}, {"cpu:pooling", pool(Pool::Kind::average)},
          {"cpu:eltwise", unary(UnaryKind::sigmoid)}, {"cpu:eltwise", unary(UnaryKind::relu)},
          {"cpu:binary", binary(BinaryKind::add, UnaryKind::tanh)}, {"cpu:binary", binary(BinaryKind::mul, UnaryKind::relu)},
          {"cpu:prelu", prelu}, {"cpu:scale_shift", norm}, {"cpu:pad", pad},
          {"cpu:resize_nearest", resize(Resize::Mode::nearest)}, {"cpu:resize_linear", resize(Resize::Mode::linear)}};
}

TEST(Pitch, OtherKernelsWriteAndReadParts) {
  for (const Case& c : kCases) {
    for (const Maker& maker : makers()) {
      Build b = build_case(c, "cpu:pointwise");
      const ValueId a = b.conv("a", b.in, 16, 32), x = b.conv("x", b.in, 16, 37);
      const ValueId read = b.concat("read", {a, x});
      const ValueId written = b.concat("written", {maker.make(b, "first", a, 32), maker.make(b, "last", x, 37)});
      const Result result = b.run({read, written});
      EXPECT_EQ(count_copies(result), 0) << maker.kernel << " batch " << c.batch;
      for (const char* node : {"first", "last"}) {
        EXPECT_TRUE(result.layer(node).kernel.starts_with(maker.kernel)) << result.layer(node).kernel;
      }
    }
  }
}

TEST(Pitch, APartOfTwoReadersAndOfTheNetworkItself) {
  for (const Case& c : kCases) {
    Build b = build_case(c, "cpu:winograd_f2_rows");
    const ValueId constant = b.graph.add_constant("constant", random_normal({c.batch, 16, c.height, c.width}, 8));
    const ValueId a = b.window("a", b.in, {16, 32, 3}), small = b.concat("small", {b.in, a});
    const ValueId large = b.concat("large", {small, constant, b.window("bb", small, {48, 5, 3})});
    const ValueId p = b.window("p", a, {32, 8, 3}), q = b.window("qq", a, {32, 8, 3}), r = b.pool("r", a, Pool::Kind::max);
    EXPECT_EQ(count_copies(b.run({p, q, r, a, small, b.window("next", large, {69, 8, 3})})), 0);
  }
}

TEST(Pitch, NormsAndReadersInsideAGrowingResult) {
  for (const Case& c : kLargeCases) {
    Build b = build_case(c);
    ValueId joined = b.pool("start", b.in, Pool::Kind::average);
    std::int64_t channels = 16;
    for (const std::string name : {"bb", "ccc", "dddd"}) {
      const ValueId narrow = b.conv(name + ".1", b.relu(name + ".r", b.norm(name + ".n", joined, channels)), channels, 16);
      joined = b.concat(name + ".cat", {joined, b.window(name + ".3", narrow, {16, 32, 3})});
      channels += 32;
    }
    const Result result = b.run({b.conv("out", b.relu("r", b.norm("n", joined, channels)), channels, 10)});
    EXPECT_EQ(count_copies(result), 0) << c.batch;
    EXPECT_EQ(count_kernels(result, "cpu:scale_shift"), 0);
  }
}

TEST(Pitch, WhatTakesNoPitchCopiesItsPartAndSaysSo) {
  for (const std::int64_t batch : {1, 3}) {
    // Weights that cost more than the pictures: all images at once, hence not inside the result.
    Build b(batch, 6, 5);
    const ValueId a = b.window("a", b.in, {16, 32, 5}), e = b.norm("ee", b.conv("e", b.in, 16, 37), 37);
    const ValueId large = b.concat("large", {b.concat("small", {a, e})});
    const ValueId turned = b.graph.add_node("turned", Transpose{{0, 1, 3, 2}}, {e});
    const Result result = b.run({b.conv("next", large, 69, 8), turned});
    EXPECT_EQ(count_kernels(result, "cpu:concat"), 0);
    EXPECT_EQ(count_kernels(result, "cpu:copy_to_part"), batch == 1 ? 0 : 1);
    EXPECT_EQ(count_kernels(result, "cpu:copy_from_part"), batch == 1 ? 0 : 1);
    if (batch == 1) continue;
    for (const LayerPlan& layer : result.plan.layers) {
      if (!layer.kernel.starts_with("cpu:copy")) continue;
      ASSERT_EQ(layer.refused.size(), 1U);
      EXPECT_EQ(layer.refused[0].first, "in place");
      EXPECT_NE(layer.refused[0].second.find("whole values alone"), std::string::npos) << layer.refused[0].second;
    }
  }
}

}  // namespace
}  // namespace wins::runtime::cpu_test
