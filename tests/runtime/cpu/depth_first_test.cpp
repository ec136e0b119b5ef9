// The first part of a network image by image: where it ends, and that nothing else changes.
#include "depth_first.hpp"

#include "net.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::runtime::cpu {
namespace {

using namespace graph;

/// Convolutions of `channels` at a size whose activations are large for many images, a residual, a pool, and a part that is small.
Graph network(std::int64_t images, std::int64_t channels = 24) {
  Graph graph;
  const auto conv = [&](ValueId x, std::int64_t from, std::int64_t to, std::int64_t kernel, ValueId residual = kNone) {
    Conv op;
    op.window.kernel = {kernel, kernel};
    op.window.stride = op.window.dilation = {1, 1};
    op.window.pads = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
    const ValueId weights = graph.add_constant("w", random_normal({to, from, kernel, kernel}, 3, 0.1F));
    std::vector<ValueId> inputs{x, weights};
    const ValueId y = graph.add_node("conv" + std::to_string(to) + std::to_string(graph.nodes.size()), op, inputs);
    return residual == kNone ? y : graph.add_node("add", Binary{BinaryKind::add}, {y, residual});
  };
  const ValueId in = graph.add_value("in", DType::f32, wins::Shape{images, 3, 160, 160});
  graph.inputs = {in};
  const ValueId a = conv(in, 3, channels, 3);
  const ValueId b = conv(a, channels, channels, 3, a);
  Pool pool;
  pool.window.kernel = pool.window.stride = {2, 2};
  pool.window.dilation = {1, 1};
  const ValueId c = graph.add_node("pool", pool, {b});
  graph.outputs = {conv(c, channels, 8, 1)};
  return graph;
}

Machine machine_with(double l2_bytes) {
  Machine machine;
  machine.l2_bytes = l2_bytes;
  return machine;
}

Graph specialised(std::int64_t images, std::int64_t channels = 24) {
  const Graph graph = network(images, channels);
  return specialize(graph, {{images, 3, 160, 160}});
}

TEST(DepthFirst, EndsBehindTheLastLargeActivations) {
  const Graph graph = specialised(16);
  const FirstPart part = find_first_part(graph, machine_with(1 << 20), 2);
  ASSERT_GT(part.nodes, 0U);
  ASSERT_LT(part.nodes, graph.nodes.size());
  // 16 x 24 x 160 x 160 floats are 39 MB, of which the pool reads one and writes a quarter.
  EXPECT_EQ(part.cut, graph.nodes[part.nodes - 1].outputs[0]);
  const Graph first = graph_of(graph, part);
  EXPECT_EQ(first.value(first.outputs[0]).shape.value()[0], 1);
  EXPECT_EQ(first.nodes.size(), part.nodes);
}

TEST(DepthFirst, IsForLargeBatchesAndSmallWeightsAlone) {
  EXPECT_EQ(find_first_part(specialised(1), machine_with(1 << 20), 2).nodes, 0U);
  EXPECT_EQ(find_first_part(specialised(2), machine_with(1 << 20), 2).nodes, 0U);      // fits
  EXPECT_EQ(find_first_part(specialised(16), machine_with(1 << 10), 2).nodes, 0U);     // weights do not stay
  EXPECT_EQ(find_first_part(specialised(16), machine_with(1 << 20), 1000).nodes, 0U);  // too few pixels for the threads
}

TEST(DepthFirst, ChangesNoResultAndTellsInThePlan) {
  const Graph graph = network(-1);
  const Tensor input = random_normal({16, 3, 160, 160}, 5);
  SessionOptions whole;
  whole.threads = 2;
  whole.depth_first = false;
  SessionOptions parts = whole;
  parts.depth_first = true;
  Session expected = Session::open(graph, whole), session = Session::open(graph, parts);
  const Tensor want = expected.run({input}).at(0);
  for (int run = 0; run < 2; ++run) {
    const Tensor got = session.run({input}).at(0);
    EXPECT_LE(relative_l2(got, want), 1e-6);
  }
  const Plan plan = session.profile({input}, 1);
  const auto told = std::count_if(plan.layers.begin(), plan.layers.end(), [](const LayerPlan& line) {
    return std::any_of(line.refused.begin(), line.refused.end(), [](const auto& entry) { return entry.first == "all images at once"; });
  });
  EXPECT_GE(told, 2);
  EXPECT_LT(plan.arena_bytes, expected.plan({{16, 3, 160, 160}}).arena_bytes);
  for (const LayerPlan& line : plan.layers) EXPECT_GT(line.measured_us, 0) << line.node;
  // Other batches of the same session.
  const Tensor one = random_normal({3, 3, 160, 160}, 6);
  EXPECT_LE(relative_l2(session.run({one}).at(0), expected.run({one}).at(0)), 1e-6);
}

}  // namespace
}  // namespace wins::runtime::cpu
