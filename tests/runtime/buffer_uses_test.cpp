#include "wins/runtime/buffer_uses.hpp"

#include <gtest/gtest.h>

namespace wins::runtime {
namespace {

struct TestBuffer {
  std::size_t parent = kNoBuffer;
};
struct TestStep {
  std::vector<std::size_t> inputs, outputs;
};
struct TestOutput {
  std::size_t buffer;
};
struct TestProgram {
  std::vector<TestBuffer> buffers;
  std::vector<TestStep> steps;
  std::vector<TestOutput> outputs;
};

TEST(BufferUses, RunFromTheFirstStepToTheLast) {
  TestProgram program;
  program.buffers.resize(4);
  program.steps = {{{0}, {1}}, {{1, kNoBuffer}, {2}}, {{2, 0}, {kNoBuffer}}};
  const BufferUses uses = find_uses(program);
  EXPECT_EQ(uses.first, (std::vector<std::size_t>{0, 0, 1, kNoBuffer}));
  EXPECT_EQ(uses.last, (std::vector<std::size_t>{2, 1, 2, 0}));
}

TEST(BufferUses, OfAWholeSpanThoseOfItsPartsAndTheirParts) {
  TestProgram program;
  program.buffers = {{}, {0}, {1}, {0}};  // 2 is a part of 1, 1 and 3 of 0
  program.steps = {{{}, {2}}, {{}, {3}}, {{0}, {}}, {{2}, {}}};
  const BufferUses uses = find_uses(program);
  EXPECT_EQ(uses.first, (std::vector<std::size_t>{0, 0, 0, 1}));
  EXPECT_EQ(uses.last, (std::vector<std::size_t>{3, 3, 3, 1}));
}

TEST(BufferUses, OutputsAreUsedBehindTheLastStep) {
  TestProgram program;
  program.buffers = {{}, {0}};
  program.steps = {{{}, {1}}, {{}, {}}};
  program.outputs = {{1}};
  EXPECT_EQ(find_uses(program).last, (std::vector<std::size_t>{2, 2}));
}

TEST(BufferUses, PlansSumWeightsAndShareTheLargestWorkspace) {
  Plan plan;
  plan.layers.resize(2);
  plan.layers[0].workspace_bytes = 8;
  plan.layers[0].weight_bytes = 3;
  plan.layers[1].workspace_bytes = 5;
  plan.layers[1].weight_bytes = 4;
  complete(plan, 100);
  EXPECT_EQ(plan.arena_bytes, 100U);
  EXPECT_EQ(plan.workspace_bytes, 8U);
  EXPECT_EQ(plan.weight_bytes, 7U);
}

}  // namespace
}  // namespace wins::runtime
