#include "order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "wins/graph/shapes.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/refit/surroundings.hpp"

namespace wins::refit {
namespace {

std::size_t place(const graph::Graph& graph, const std::string& name) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const graph::Node& n) { return n.name == name; });
  return static_cast<std::size_t>(found - graph.nodes.begin());
}

TEST(Order, IsTopologicalAndKeepsEveryNode) {
  for (const char* name : {"resnet18", "squeezenet1_0", "densenet121"}) {
    const graph::Graph graph = graph::zoo(name, {});
    const graph::Graph ordered = shallow_branches_first(graph);
    ASSERT_EQ(ordered.nodes.size(), graph.nodes.size()) << name;
    std::set<graph::ValueId> known(ordered.inputs.begin(), ordered.inputs.end());
    for (const graph::Node& node : ordered.nodes) {
      for (const graph::ValueId id : node.inputs) {
        if (id != graph::kNone && !ordered.value(id).constant) {
          EXPECT_TRUE(known.contains(id)) << name << " " << node.name;
        }
      }
      known.insert(node.outputs.begin(), node.outputs.end());
    }
  }
}

TEST(Order, TheShortcutComesBeforeTheLongBranch) {
  const graph::Graph graph = graph::zoo("resnet18", {});
  ASSERT_GT(place(graph, "layer2.0.downsample.0"), place(graph, "layer2.0.conv2"));  // in the file's order
  const graph::Graph ordered = shallow_branches_first(graph);
  EXPECT_LT(place(ordered, "layer2.0.downsample.0"), place(ordered, "layer2.0.conv2"));
}

TEST(Surroundings, ReachTheActivationBehindBatchNormAndAdd) {
  const graph::Graph graph = graph::specialize(graph::zoo("resnet18", {}), {{1, 3, 224, 224}});
  const Surroundings second = surroundings(graph, *graph.find_node("layer1.0.conv2"));
  EXPECT_EQ(second.batch_norm, "layer1.0.bn2");
  EXPECT_FALSE(second.other_branch.empty());
  EXPECT_EQ(second.low, 0);
  EXPECT_TRUE(second.clamps());
  const Surroundings shortcut = surroundings(graph, *graph.find_node("layer2.0.downsample.0"));
  EXPECT_EQ(shortcut.batch_norm, "layer2.0.downsample.1");
  EXPECT_TRUE(shortcut.clamps());
  const Surroundings last = surroundings(graph, *graph.find_node("fc"));
  EXPECT_TRUE(last.batch_norm.empty());
  EXPECT_FALSE(last.clamps());
}

}  // namespace
}  // namespace wins::refit
