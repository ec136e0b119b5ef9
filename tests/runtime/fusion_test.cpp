// Pairs of 1x1 convolutions in a graph.
#include "wins/runtime/fusion.hpp"

#include <gtest/gtest.h>

namespace wins::runtime {
namespace {

using namespace graph;

class Pairs : public testing::Test {
 protected:
  Graph graph_;
  ValueId in_ = graph_.add_value("in", DType::f32, wins::Shape{1, 8, 4, 4});

  ValueId conv(const std::string& name, ValueId from, std::int64_t kernel = 1, std::int64_t stride = 1, ValueId residual = kNone) {
    Conv op;
    op.window.kernel = {kernel, kernel};
    op.window.stride = {stride, stride};
    op.window.pads = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
    std::vector<ValueId> inputs{from, graph_.add_constant(name + "w", random_normal({8, 8, kernel, kernel}, 1)), kNone};
    if (residual != kNone) inputs.push_back(residual);
    return graph_.add_node(name, op, inputs);
  }
  /// "first second, ..." in the order of the graph.
  std::string found() const {
    const auto pairs = find_pairs(graph_);
    std::string text;
    for (const Node& node : graph_.nodes) {
      if (const auto pair = pairs.find(&node); pair != pairs.end()) text += node.name + " " + pair->second->name + ",";
    }
    return text;
  }
};

TEST_F(Pairs, OneBehindTheOther) {
  conv("c", conv("b", conv("a", in_, 1, 2)), 3);
  EXPECT_EQ(found(), "a b,");
}

TEST_F(Pairs, NoneIsInTwo) {
  conv("d", conv("c", conv("b", conv("a", in_))));
  EXPECT_EQ(found(), "a b,c d,");
}

TEST_F(Pairs, OfSeveralReadersTheFirst) {
  const ValueId a = conv("a", in_);
  conv("b", a);
  conv("c", a);
  EXPECT_EQ(found(), "a b,");
}

TEST_F(Pairs, StridesAndResidualsOfTheSecond) {
  const ValueId a = conv("a", in_);
  conv("b", a, 1, 2);
  conv("c", a, 1, 1, in_);
  conv("d", a, 3);
  EXPECT_EQ(found(), "");
}

TEST_F(Pairs, ResidualOfTheFirst) {
  conv("b", conv("a", in_, 1, 1, in_));
  EXPECT_EQ(found(), "a b,");
}

}  // namespace
}  // namespace wins::runtime
