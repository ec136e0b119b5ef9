#include "wins/runtime/arena.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace wins::runtime {
namespace {

std::size_t aligned(std::size_t bytes, std::size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

struct Range {
  std::size_t begin, end;
};

/// Start of the smallest gap of `bytes` between `taken` (sorted by begin).
std::size_t best_gap(const std::vector<Range>& taken, std::size_t bytes) {
  std::size_t best = 0, best_size = std::numeric_limits<std::size_t>::max(), reach = 0;
  for (const Range& range : taken) {
    if (range.begin > reach && range.begin - reach >= bytes && range.begin - reach < best_size) {
      best = reach;
      best_size = range.begin - reach;
    }
    reach = std::max(reach, range.end);
  }
  return best_size == std::numeric_limits<std::size_t>::max() ? reach : best;
}

}  // namespace

ArenaPlan plan_arena(const std::vector<Lifetime>& lifetimes, std::size_t alignment) {
  std::vector<std::size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });
  ArenaPlan plan;
  plan.offsets.assign(lifetimes.size(), 0);
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    std::vector<Range> taken;
    for (const std::size_t j : placed) {
      const bool together =
          lifetimes[i].first <= lifetimes[j].last && lifetimes[j].first <= lifetimes[i].last;
      if (together) taken.push_back({plan.offsets[j], plan.offsets[j] + aligned(lifetimes[j].bytes, alignment)});
    }
    std::sort(taken.begin(), taken.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    plan.offsets[i] = best_gap(taken, aligned(lifetimes[i].bytes, alignment));
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + aligned(lifetimes[i].bytes, alignment));
    placed.push_back(i);
  }
  return plan;
}

}  // namespace wins::runtime
