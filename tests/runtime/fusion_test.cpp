// Convolutions that others add, in a graph.
#include "wins/runtime/fusion.hpp"

#include <gtest/gtest.h>

namespace wins::runtime {
namespace {

using namespace graph;

class Summands : public testing::Test {
 protected:
  Graph graph_;
  ValueId in_ = graph_.add_value("in", DType::f32, wins::Shape{1, 8, 4, 4});

  struct Layer {
    std::int64_t kernel = 1, stride = 1, group = 1;
    UnaryKind activation = UnaryKind::identity;
  };
  ValueId conv(const std::string& name, const Layer& layer, ValueId residual = kNone) {
    Conv op;
    op.window.kernel = {layer.kernel, layer.kernel};
    op.window.stride = {layer.stride, layer.stride};
    op.window.pads = {layer.kernel / 2, layer.kernel / 2, layer.kernel / 2, layer.kernel / 2};
    op.group = layer.group;
    op.activation.kind = layer.activation;
    std::vector<ValueId> inputs{in_, graph_.add_constant(name + "w", random_normal({8, 8 / layer.group, layer.kernel, layer.kernel}, 1)), kNone};
    if (residual != kNone) inputs.push_back(residual);
    return graph_.add_node(name, op, inputs);
  }
  /// "convolution summand, ..." in the order of the graph.
  std::string found() const {
    const auto summands = find_summands(graph_);
    std::string text;
    for (const Node& node : graph_.nodes) {
      if (const auto summand = summands.find(&node); summand != summands.end()) text += node.name + " " + summand->second->name + ",";
    }
    return text;
  }
};

TEST_F(Summands, OfOnePixel) {
  const ValueId a = conv("a", {});
  conv("b", {.stride = 2, .activation = UnaryKind::relu}, a);
  EXPECT_EQ(found(), "b a,");
  EXPECT_EQ(with_summand(graph_.nodes[1], graph_.nodes[0]).inputs[3], in_);
  EXPECT_EQ(graph_.nodes[1].inputs[3], a);
}

TEST_F(Summands, OthersAreNone) {
  conv("kernel", {.kernel = 3}, conv("a", {}));
  conv("b", {}, conv("of a kernel", {.kernel = 3}));
  conv("c", {}, conv("strided", {.stride = 2}));
  conv("d", {}, conv("activated", {.activation = UnaryKind::relu}));
  conv("e", {}, conv("grouped", {.group = 2}));
  conv("f", {}, conv("with its own", {}, in_));
  conv("g", {}, in_);
  EXPECT_EQ(found(), "");
}

TEST_F(Summands, WhatOthersReadStays) {
  const ValueId a = conv("a", {});
  conv("b", {}, a);
  graph_.outputs = {a};
  EXPECT_EQ(found(), "");
}

}  // namespace
}  // namespace wins::runtime
