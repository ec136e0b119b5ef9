// Which step asks for which weights.
#include "wins/runtime/cuda/weights_ahead.hpp"

#include <gtest/gtest.h>

#include <cstddef>

namespace wins::runtime::cuda {
namespace {

const std::byte memory[1 << 16] = {};

MemoryRun run(std::size_t first, std::uint32_t bytes) { return {memory + first, bytes}; }

std::vector<MemoryRun> asked(const WeightsAhead& ahead) {
  std::vector<MemoryRun> runs;
  for (const MemoryRun& one : ahead.runs) {
    if (one.bytes > 0) runs.push_back(one);
  }
  return runs;
}

using Runs = std::vector<MemoryRun>;

TEST(WeightsAhead, AStepAsksForThoseBehindIt) {
  const std::vector<StepWeights> steps = {{10, true, {run(0, 64)}}, {10, true, {run(64, 128), run(192, 16)}}, {10, true, {run(256, 32)}}};
  const auto ahead = plan_weights_ahead(steps, 100, 1000000);
  EXPECT_EQ(asked(ahead[0]), (Runs{run(64, 128), run(192, 16)}));
  EXPECT_EQ(asked(ahead[1]), (Runs{run(256, 32)}));
  EXPECT_EQ(asked(ahead[2]), Runs());
}

TEST(WeightsAhead, StepsThatCannotAskLeaveItToThoseBefore) {
  const std::vector<StepWeights> steps = {{10, true, {}}, {10, false, {run(0, 64)}}, {10, false, {run(64, 32)}}};
  EXPECT_EQ(asked(plan_weights_ahead(steps, 100, 1000000)[0]), (Runs{run(0, 64), run(64, 32)}));
}

TEST(WeightsAhead, TimeBoundsWhatAStepAsksFor) {
  const std::vector<StepWeights> steps = {{2.5, true, {}}, {10, true, {}}, {10, false, {run(0, 1024), run(1024, 64)}}};
  const auto ahead = plan_weights_ahead(steps, 10, 1000000);
  EXPECT_EQ(asked(ahead[1]), (Runs{run(0, 96)}));  // 100 bytes, in whole units
  EXPECT_EQ(asked(ahead[0]), (Runs{run(96, 16)}));
}

TEST(WeightsAhead, NoMoreThanTheCacheHolds) {
  const std::vector<StepWeights> steps = {{100, true, {run(0, 48)}}, {100, false, {run(64, 64)}}, {100, false, {run(128, 1024)}}};
  EXPECT_EQ(asked(plan_weights_ahead(steps, 100, 200)[0]), (Runs{run(64, 64), run(128, 128)}));
  EXPECT_EQ(asked(plan_weights_ahead(steps, 100, 0)[0]), Runs());
}

TEST(WeightsAhead, AsManyRunsAsAKernelTakes) {
  StepWeights many{1, false, {}};
  for (std::size_t i = 0; i < 20; ++i) many.weights.push_back(run(i * 16, 16));
  const std::vector<StepWeights> steps = {{1, true, {}}, {1, true, {}}, {1, true, {}}, many};
  const auto ahead = plan_weights_ahead(steps, 1e4, 1000000);
  EXPECT_EQ(asked(ahead[2]).size(), 8U);
  EXPECT_EQ(asked(ahead[1]).size(), 8U);
  EXPECT_EQ(asked(ahead[0]).size(), 4U);
  EXPECT_EQ(asked(ahead[2])[0], run(0, 16));
  EXPECT_EQ(asked(ahead[0])[0], run(256, 16));
}

TEST(WeightsAhead, NoSteps) { EXPECT_TRUE(plan_weights_ahead({}, 1, 1).empty()); }

}  // namespace
}  // namespace wins::runtime::cuda
