// Concatenations that cost nothing, and batch norms that run inside the convolution behind them.
#include "concat_net.hpp"

namespace wins::runtime::cpu_test {
namespace {

TEST(Placement, GrowingResultsShareOneBuffer) {
  for (const int i : {0, 1, 2, 3, 4, 5}) {
    const bool lists = i % 2 != 0;  // [a b c d] or [[[a b] c] d]
    Build b(1 + i / 2);
    b.options.force_kernel = "cpu:pointwise";
    std::vector<ValueId> parts{b.conv("a", b.in, 16, 16)};
    ValueId joined = parts[0];
    std::int64_t channels = 16;
    for (const std::string name : {"bb", "ccc", "dddd"}) {
      const ValueId grown = b.conv(name, b.relu(name + ".r", joined), channels, 32);
      parts.push_back(grown);
      joined = b.concat(name + ".cat", lists ? parts : std::vector<ValueId>{joined, grown});
      channels += 32;
    }
    EXPECT_EQ(count_copies(b.run({joined})), 0) << i;
  }
}

TEST(Placement, WhatCannotBeInTwoPlacesIsCopied) {
  for (const std::int64_t batch : {1, 3}) {
    Build b(batch);
    const ValueId a = b.conv("a", b.in, 16, 16), c = b.conv("bb", b.in, 16, 32);
    const ValueId first = b.concat("first", {a, c}), second = b.concat("second", {c, a}), twice = b.concat("twice", {a, a});
    EXPECT_EQ(count_kernels(b.run({first, second, twice}), "cpu:concat"), 2);
  }
}

TEST(Placement, PartsThatBeginInsideABlockAreCopied) {
  for (const std::int64_t batch : {1, 3}) {
    Build b(batch);
    const ValueId joined = b.concat("cat", {b.conv("a", b.in, 16, 5), b.conv("bb", b.in, 16, 16)});
    EXPECT_EQ(count_kernels(b.run({b.conv("next", joined, 21, 8)}), "cpu:concat"), 1);
  }
}

TEST(Placement, TheInputOfTheNetworkAndLaterReadersOfPartsAreSafe) {
  for (const int i : {0, 1, 2, 3}) {
    const bool part_first = i % 2 == 0;
    Build b(1 + i / 2 * 2);
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
