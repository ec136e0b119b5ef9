#include "wins/runtime/cuda/weights_ahead.hpp"

#include <algorithm>
#include <deque>

namespace wins::runtime::cuda {
namespace {

constexpr std::uint32_t kUnitBytes = 16;

/// The first `bytes` of `run`, in whole units.
MemoryRun first_of(const MemoryRun& run, std::size_t bytes) {
  return {run.from, static_cast<std::uint32_t>(std::min<std::size_t>(bytes, run.bytes)) / kUnitBytes * kUnitBytes};
}

/// Weights that nobody has asked for yet, by their use.
class Pending {
 public:
  void add_first(const std::vector<MemoryRun>& weights, std::size_t most_bytes) {
    runs_.insert(runs_.begin(), weights.begin(), weights.end());
    for (MemoryRun& run : runs_) {
      run = first_of(run, most_bytes);
      most_bytes -= run.bytes;
    }
    std::erase_if(runs_, [](const MemoryRun& run) { return run.bytes == 0; });
  }

  /// Those used first, at most so many bytes.
  WeightsAhead take(std::size_t bytes) {
    WeightsAhead taken;
    for (MemoryRun& to : taken.runs) {
      if (runs_.empty()) break;
      to = first_of(runs_.front(), bytes);
      bytes -= to.bytes;
      if (to.bytes < runs_.front().bytes) {
        runs_.front() = {static_cast<const std::byte*>(runs_.front().from) + to.bytes, runs_.front().bytes - to.bytes};
        break;
      }
      runs_.pop_front();
    }
    return taken;
  }

 private:
  std::deque<MemoryRun> runs_;
};

}  // namespace

std::vector<WeightsAhead> plan_weights_ahead(const std::vector<StepWeights>& steps, double bytes_per_us, std::size_t most_bytes) {
  std::vector<WeightsAhead> result(steps.size());
  Pending pending;
  for (std::size_t s = steps.size(); s-- > 0;) {
    if (steps[s].asks) result[s] = pending.take(static_cast<std::size_t>(steps[s].us * bytes_per_us));
    pending.add_first(steps[s].weights, most_bytes);
  }
  return result;
}

}  // namespace wins::runtime::cuda
