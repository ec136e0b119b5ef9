#include "wins/base/parallel.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>
#include <vector>

namespace wins {
namespace {

TEST(Parallel, EveryIndexOnceAndResultsAreThereAfterwards) {
  for (const int threads : {1, 2, 4, 7}) {
    for (const std::int64_t count : {0, 1, 5, 1000}) {
      std::vector<int> ranges(static_cast<std::size_t>(count)), tasks = ranges;
      parallel_for(count, threads, [&](std::int64_t i, int) { ++ranges[static_cast<std::size_t>(i)]; });
      parallel_tasks(count, threads, [&](std::int64_t i, int) { ++tasks[static_cast<std::size_t>(i)]; });
      EXPECT_EQ(std::accumulate(ranges.begin(), ranges.end(), 0), count);
      EXPECT_EQ(ranges, tasks);
    }
  }
}

TEST(Parallel, ABodysExceptionReachesTheCaller) {
  EXPECT_THROW(parallel_for(100, 4,
                            [](std::int64_t i, int) {
                              if (i % 30 == 7) throw std::runtime_error("here");
                            }),
               std::runtime_error);
}

#ifdef __SANITIZE_THREAD__
/// Both bodies write one element: the sanitizer sees it, though it does not see libgomp's barriers.
TEST(ParallelDeathTest, ARaceBetweenBodiesIsReported) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<int> values(4);
  EXPECT_EXIT(parallel_for(1000, 4, [&](std::int64_t i, int) { ++values[static_cast<std::size_t>(i % 4)]; }),
              testing::ExitedWithCode(66), "data race");
}
#endif

}  // namespace
}  // namespace wins
