// What several nodes are taken for at once, in a graph.
#include "wins/runtime/fusion.hpp"

#include <gtest/gtest.h>

namespace wins::runtime {
namespace {

using namespace graph;

class Fusion : public testing::Test {
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
};

class Summands : public Fusion {
 protected:
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

class Companions : public Fusion {
 protected:
  ValueId concat(const std::vector<ValueId>& values, std::int64_t axis = 1) { return graph_.add_node("concat", Concat{axis}, values); }
  /// "3x3 before 1x1" and "3x3 behind 1x1", in the order of the graph.
  std::string found() const {
    const auto companions = find_companions(graph_);
    std::string text;
    for (const Node& node : graph_.nodes) {
      if (const auto at = companions.find(&node); at != companions.end()) text += node.name + (at->second.first ? " behind " : " before ") + at->second.pointwise->name + ",";
    }
    return text;
  }
};

TEST_F(Companions, OfAFireModule) {
  const ValueId a = conv("a", {.activation = UnaryKind::relu}), b = conv("b", {.kernel = 3, .activation = UnaryKind::relu}), out = concat({a, b});
  EXPECT_EQ(found(), "b behind a,");
  const Companion companion = find_companions(graph_).at(&graph_.nodes[1]);
  EXPECT_EQ(with_companion(graph_.nodes[1], companion).outputs, std::vector<ValueId>{out});
  EXPECT_EQ(companion.concat->outputs[0], out);
}

TEST_F(Companions, OfAPrunedLayerBeforeIt) {
  WinogradConv pruned;
  pruned.mask = winograd::Mask::full(winograd::Axis::row, 16, 8, 8);
  const ValueId b = graph_.add_node("b", pruned, {in_, graph_.add_constant("U", random_normal({16, 8, 8}, 1))});
  concat({b, conv("a", {})}, -3);
  EXPECT_EQ(found(), "b before a,");
}

TEST_F(Companions, OthersAreNone) {
  const ValueId b = conv("b", {.kernel = 3, .activation = UnaryKind::relu});
  concat({conv("another activation", {}), b});
  concat({conv("twice", {}), conv("1x1", {})});
  concat({conv("strided", {.stride = 2}), conv("c", {.kernel = 3})});
  concat({conv("a", {}), conv("strided 3x3", {.kernel = 3, .stride = 2})});
  concat({conv("d", {}), conv("grouped", {.kernel = 3, .group = 2})});
  concat({conv("e", {}), conv("adds", {.kernel = 3}, in_)});
  concat({conv("f", {}), conv("along rows", {.kernel = 3})}, 2);
  concat({conv("g", {}), conv("of three", {.kernel = 3}), in_});
  concat({conv("h", {.kernel = 5}), conv("beside 5x5", {.kernel = 3})});
  EXPECT_EQ(found(), "");
}

TEST_F(Companions, WhatOthersReadStays) {
  const ValueId a = conv("a", {}), b = conv("b", {.kernel = 3});
  concat({a, b});
  graph_.outputs = {b};
  EXPECT_EQ(found(), "");
}

}  // namespace
}  // namespace wins::runtime
