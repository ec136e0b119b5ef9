#include "wins/runtime/arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace wins::runtime {
namespace {

TEST(Arena, BuffersThatLiveTogetherDoNotOverlap) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<Lifetime> lifetimes(1 + random() % 40);
    std::size_t sum = 0;
    for (Lifetime& l : lifetimes) {
      l.bytes = 1 + random() % 1000;
      l.first = random() % 30;
      l.last = l.first + random() % 6;
      sum += (l.bytes + 63) / 64 * 64;
    }
    const ArenaPlan plan = plan_arena(lifetimes);
    EXPECT_LE(plan.bytes, sum);
    for (std::size_t i = 0; i < lifetimes.size(); ++i) {
      EXPECT_EQ(plan.offsets[i] % 64, 0U);
      EXPECT_LE(plan.offsets[i] + lifetimes[i].bytes, plan.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        const bool together =
            lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last;
        const bool apart = plan.offsets[i] + lifetimes[i].bytes <= plan.offsets[j] ||
                           plan.offsets[j] + lifetimes[j].bytes <= plan.offsets[i];
        EXPECT_TRUE(!together || apart);
      }
    }
  }
}

TEST(Arena, AChainNeedsTwoBuffers) {
  std::vector<Lifetime> chain;
  for (std::size_t i = 0; i < 10; ++i) chain.push_back({640, i, i + 1});
  EXPECT_EQ(plan_arena(chain).bytes, 2 * 640U);
}

}  // namespace
}  // namespace wins::runtime
