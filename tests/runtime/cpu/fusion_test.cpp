// Concatenations that cost nothing, and batch norms that run inside the convolution behind them.
#include "net.hpp"

namespace wins::runtime::cpu_test {
namespace {

/// Layers on one input of 16 channels (a block on every machine).
struct Build {
  Graph graph;
  ValueId in;

  explicit Build(std::int64_t batch) {
    in = graph.add_value("in", DType::f32, wins::Shape{batch, 16, 7, 5});
    graph.inputs = {in};
  }
  ValueId conv(const std::string& name, ValueId x, std::int64_t from, std::int64_t to, std::int64_t stride = 1) {
    Conv op;
    op.window.stride = {stride, stride};
    return graph.add_node(name, op, {x, graph.add_constant(name + ".w", random_normal({to, from, 1, 1}, name.size() + 7, 0.3F))});
  }
  ValueId concat(const std::string& name, std::vector<ValueId> parts) {
    return graph.add_node(name, Concat{1}, std::move(parts));
  }
  ValueId relu(const std::string& name, ValueId x) {
    return graph.add_node(name, Unary{{UnaryKind::relu, 0, 0}}, {x});
  }
  ValueId norm(const std::string& name, ValueId x, std::int64_t channels) {
    Tensor variance = random_normal({channels}, 14);
    for (float& v : variance.mutable_data<float>()) v = 0.5F + v * v;
    return graph.add_node(name, BatchNorm{},
                          {x, graph.add_constant(name + ".s", random_normal({channels}, 11)),
                           graph.add_constant(name + ".b", random_normal({channels}, 12)),
                           graph.add_constant(name + ".m", random_normal({channels}, 13)), graph.add_constant(name + ".v", variance)});
  }
  Result run(std::vector<ValueId> outputs) {
    graph.outputs = std::move(outputs);
    SessionOptions options;
    options.threads = 2;
    Result result = run_both(graph, options);
    EXPECT_LE(result.relative_l2, kBound);
    return result;
  }
};

int count_kernels(const Result& result, const std::string& beginning) {
  return static_cast<int>(std::count_if(result.plan.layers.begin(), result.plan.layers.end(),
                                        [&](const LayerPlan& layer) { return layer.kernel.starts_with(beginning); }));
}

TEST(Placement, PartsAreWrittenInPlaceForOnePictureAlone) {
  for (const std::int64_t batch : {1, 3}) {
    Build b(batch);
    const ValueId joined = b.concat("cat", {b.conv("a", b.in, 16, 32), b.conv("bb", b.in, 16, 16), b.conv("ccc", b.in, 16, 5)});
    EXPECT_EQ(count_kernels(b.run({b.conv("next", joined, 53, 8)}), "cpu:concat"), batch == 1 ? 0 : 1);
  }
}

TEST(Placement, GrowingResultsShareOneBuffer) {
  for (const bool lists : {false, true}) {  // [a b c d] or [[[a b] c] d]
    Build b(1);
    std::vector<ValueId> parts{b.conv("a", b.in, 16, 16)};
    ValueId joined = parts[0];
    std::int64_t channels = 16;
    for (const std::string name : {"bb", "ccc", "dddd"}) {
      const ValueId grown = b.conv(name, b.relu(name + ".r", joined), channels, 32);
      parts.push_back(grown);
      joined = b.concat(name + ".cat", lists ? parts : std::vector<ValueId>{joined, grown});
      channels += 32;
    }
    EXPECT_EQ(count_kernels(b.run({joined}), "cpu:concat"), 0) << lists;
  }
}

TEST(Placement, WhatCannotBeInTwoPlacesIsCopied) {
  Build b(1);
  const ValueId a = b.conv("a", b.in, 16, 16), c = b.conv("bb", b.in, 16, 32);
  const ValueId first = b.concat("first", {a, c}), second = b.concat("second", {c, a}), twice = b.concat("twice", {a, a});
  EXPECT_EQ(count_kernels(b.run({first, second, twice}), "cpu:concat"), 2);
}

TEST(Placement, PartsThatBeginInsideABlockAreCopied) {
  Build b(1);
  const ValueId joined = b.concat("cat", {b.conv("a", b.in, 16, 5), b.conv("bb", b.in, 16, 16)});
  EXPECT_EQ(count_kernels(b.run({b.conv("next", joined, 21, 8)}), "cpu:concat"), 1);
}

TEST(Placement, TheInputOfTheNetworkAndLaterReadersOfPartsAreSafe) {
  for (const bool part_first : {true, false}) {
    Build b(1);
    const ValueId a = b.conv("a", b.in, 16, 16);
    const ValueId joined = b.concat("cat", {b.in, a});
    // Done in place, the ReLU of the part would spoil the whole, and the other way round.
    ValueId part = kNone;
    if (part_first) part = b.relu("part", a);
    const ValueId whole = b.relu("whole", joined);
    if (!part_first) part = b.relu("part", a);
    // Reads of other signs: what a second ReLU would hide shows.
    b.run({b.conv("p", part, 16, 8), b.conv("ww", whole, 32, 8), b.conv("xxx", part_first ? joined : a, part_first ? 32 : 16, 8)});
  }
}

TEST(Prologue, NormAndReluRunInsideThePointwiseConvolution) {
  for (const std::int64_t batch : {1, 3}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const bool relu : {true, false}) {
        Build b(batch);
        ValueId x = b.norm("norm", b.conv("a", b.in, 16, 37), 37);
        if (relu) x = b.relu("relu", x);
        const Result result = b.run({b.conv("op", x, 37, 24, stride)});
        EXPECT_TRUE(result.layer("op").kernel.ends_with(relu ? "+norm+relu" : "+norm")) << result.layer("op").kernel;
        EXPECT_EQ(result.layer("op").inside.size(), relu ? 2U : 1U);
        EXPECT_EQ(count_kernels(result, "cpu:scale_shift"), 0);
      }
    }
  }
}

TEST(Prologue, NotWhenSomethingElseReadsIt) {
  Build b(1);
  const ValueId norm = b.norm("norm", b.conv("a", b.in, 16, 32), 32), relu = b.relu("relu", norm);
  const ValueId op = b.conv("op", relu, 32, 24);
  const Result result = b.run({op, relu});
  EXPECT_TRUE(result.layer("op").inside.empty());
  EXPECT_EQ(count_kernels(result, "cpu:scale_shift"), 1);
}

}  // namespace
}  // namespace wins::runtime::cpu_test
