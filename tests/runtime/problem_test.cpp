#include "wins/runtime/problem.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "networks.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::runtime {
namespace {

using testing::HasSubstr;

std::string failure_of(const std::string& text) {
  try {
    parse_conv_problem(text);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(ConvProblem, PrintsWithoutDefaults) {
  ConvProblem p;
  p.in_channels = 64;
  p.in_height = p.in_width = p.out_height = p.out_width = 56;
  p.out_channels = 64;
  p.kernel = {3, 3};
  p.pads = {1, 1, 1, 1};
  EXPECT_EQ(text_of(p), "mb1ic64ih56oc64oh56kh3ph1");
  p.m = 2;
  p.kept.assign(16, 3);
  p.kept[1] = 0;
  p.bias = p.residual = true;
  p.activation = graph::UnaryKind::relu;
  EXPECT_EQ(text_of(p), "mb1ic64ih56oc64oh56kh3ph1:m2:rows3.0.3.3.3.3.3.3.3.3.3.3.3.3.3.3:bias+residual+relu");
  EXPECT_EQ(parse_conv_problem(text_of(p)), p);
}

TEST(ConvProblem, RoundTrips) {
  for (const char* text : {"mb8ic3ih224oc64oh112kh7sh2ph3:bias+relu", "mb1g32ic32ih14oc32oh14kh3ph1",
                           "mb2ic4ih9iw11oc6oh7ow5kh3kw5sh1sw2dh1dw0ph1pw0eh1ew2", "mb1ic1ih1oc1oh1kh1",
                           "mb1ic4ih8oc4oh8kh3ph1eh1ew1"}) {
    const ConvProblem p = parse_conv_problem(text);
    EXPECT_EQ(parse_conv_problem(text_of(p)), p) << text;
  }
  EXPECT_EQ(text_of(parse_conv_problem("mb8ic3ih224oc64oh112kh7sh2ph3:bias+relu")),
            "mb8ic3ih224oc64oh112kh7sh2ph3:bias+relu");
  // benchdnn's full spelling.
  EXPECT_EQ(text_of(parse_conv_problem("mb1ic64ih56iw56oc64oh56ow56kh3kw3sh1sw1dh0dw0ph1pw1")),
            "mb1ic64ih56oc64oh56kh3ph1");
}

TEST(ConvProblem, CountsMultiplyAdds) {
  EXPECT_EQ(parse_conv_problem("mb2g2ic4ih8oc6kh3ph1").direct_macs(), 2 * 6 * 64 * 2 * 9);
}

TEST(ConvProblem, StrideTwoHasTwentyFivePositions) {
  graph::Graph g;
  graph::WinogradConv op;
  op.stride = 2;
  op.mask = winograd::Mask::full(winograd::Axis::row, 25, 6, 5);
  op.mask.keep[0] = op.mask.keep[7] = op.mask.keep[149] = 0;
  g.inputs = {g.add_value("x", DType::f32, Shape{2, 5, 9, 8})};
  g.outputs = {g.add_node("conv", op, {g.inputs[0], g.add_constant("U", Tensor(DType::f32, {25, 6, 5}))})};
  const graph::Graph concrete = graph::specialize(g, {{2, 5, 9, 8}});
  const std::string text = problem_text(concrete, *concrete.find_node("conv"));
  EXPECT_EQ(text, "mb2ic5ih9iw8oc6oh5ow4kh3sh2ph1:m2:rows5.5.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.6.5");
  const ConvProblem p = parse_conv_problem(text);
  EXPECT_EQ(p, conv_problem(concrete, *concrete.find_node("conv")));
  EXPECT_EQ(text_of(p), text);
  EXPECT_EQ(p.direct_macs(), 2 * 6 * 5 * 4 * 5 * 9);
}

TEST(ConvProblem, RefusesByName) {
  const std::string sixteen = "1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1";
  EXPECT_THAT(failure_of("ic4ih8oc4"), HasSubstr("'kh' is missing"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3zz5"), HasSubstr("unknown field 'zz'"));
  EXPECT_THAT(failure_of("ic4ic4ih8oc4kh3"), HasSubstr("'ic' stands twice"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3oh9"), HasSubstr("the output is 6 x 6"));
  EXPECT_THAT(failure_of("ic4ih2oc4kh3"), HasSubstr("does not fit"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh0"), HasSubstr("positive"));
  EXPECT_THAT(failure_of("g3ic4ih8oc4kh3"), HasSubstr("3 groups"));
  EXPECT_THAT(failure_of("ic99999999999999999999ih8oc4kh3"), HasSubstr("not a number"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3:tanhh"), HasSubstr("unknown part 'tanhh'"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh3:m2"), HasSubstr("no Winograd tile 2"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh2sw1:m2"), HasSubstr("no Winograd tile 2"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh2:m4"), HasSubstr("no Winograd tile 4"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh5sh2:m2"), HasSubstr("no Winograd tile 2"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh2dh1:m2"), HasSubstr("no Winograd tile 2"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3sh2:m2:rows" + sixteen), HasSubstr("25 positions"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3:m2:rows1.2"), HasSubstr("16 positions"));
  EXPECT_THAT(failure_of("ic4ih8oc4kh3:rows1"), HasSubstr("need a tile"));
  EXPECT_NE(failure_of(""), "none");
  EXPECT_NE(failure_of(":::"), "none");
}

TEST(ConvProblem, OfNodes) {
  const graph::Graph g = graph::specialize(small_network(), {{2, 3, 7, 9}});
  EXPECT_EQ(problem_text(g, *g.find_node("stem")), "mb2ic3ih7iw9oc4oh7ow9kh3ph1");
  const ConvProblem pruned = conv_problem(g, *g.find_node("pruned"));
  EXPECT_EQ(pruned.m, 2);
  ASSERT_EQ(pruned.kept.size(), 16U);
  EXPECT_EQ(pruned.kept[0], 2);  // rows 0 and 3 of 4 are pruned
  EXPECT_EQ(pruned.kept[1], 3);
  EXPECT_EQ(problem_text(g, *g.find_node("pool")), "2x4x7x9->2x4x1x1");
  EXPECT_ANY_THROW(conv_problem(g, *g.find_node("pool")));
}

}  // namespace
}  // namespace wins::runtime
