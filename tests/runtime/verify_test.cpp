#include "wins/runtime/verify.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "networks.hpp"

namespace wins::runtime {
namespace {

TEST(Verify, EveryBackendPasses) {
  for (const std::string& backend : backends()) {
    SessionOptions options;
    options.backend = backend;
    const auto checks = verify(small_network(), {random_normal({2, 3, 9, 7}, 3)}, options, {1e-5, 1e-5});
    ASSERT_GE(checks.size(), 4U);
    for (const LayerCheck& check : checks) {
      EXPECT_TRUE(check.passed) << backend << " " << check.node << " " << check.kernel << " " << check.relative_l2;
    }
    EXPECT_EQ(checks.back().node, "network");
    const auto pruned = std::find_if(checks.begin(), checks.end(), [](const auto& c) { return c.node == "pruned"; });
    ASSERT_NE(pruned, checks.end());
    EXPECT_GT(pruned->relative_l2, 0) << "float32 against float64 cannot agree to the last bit";
  }
}

TEST(Verify, ChecksNodesThatOneStepRunsTogether) {
  using namespace graph;
  Graph graph;
  const ValueId x = graph.add_value("x", DType::f32, wins::Shape{1, 3, 64, 64});
  graph.inputs = {x};
  Conv conv;
  conv.window.kernel = {7, 7};
  conv.window.stride = {2, 2};
  conv.window.pads = {3, 3, 3, 3};
  Pool pool;
  pool.window.kernel = {3, 3};
  pool.window.stride = {2, 2};
  const ValueId y = graph.add_node("first", conv, {x, graph.add_constant("w", random_normal({64, 3, 7, 7}, 5, 0.1F))});
  graph.outputs = {graph.add_node("pool", pool, {y})};
  SessionOptions options;
  options.backend = "cpu";
  options.force_kernel = "cpu:stem";
  const auto checks = verify(graph, {random_normal({1, 3, 64, 64}, 3)}, options, {2e-6, 2e-6});
  EXPECT_NE(checks.at(0).kernel.find("+max_pool"), std::string::npos) << checks.at(0).kernel;
  for (const LayerCheck& check : checks) EXPECT_TRUE(check.passed) << check.node << " " << check.kernel << " " << check.relative_l2;
}

TEST(Verify, FailsUnderAnImpossibleBound) {
  SessionOptions options;
  options.backend = "ref";
  const auto checks = verify(small_network(), {random_normal({1, 3, 9, 7}, 3)}, options, {1e-12, 1e-12});
  EXPECT_FALSE(checks.back().passed);
  EXPECT_ANY_THROW(verify(small_network(), {random_normal({1, 3, 9, 7}, 3)}, options, {0, 0}));
}

}  // namespace
}  // namespace wins::runtime
