// Weights on their way before their step begins: a layer at batch 1 leaves most of the memory's bandwidth free, and what
// the network's other layers, or another network's run, have driven out of the second-level cache would
// otherwise be waited for in every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wins::runtime::cuda {

/// Device memory, a multiple of 16 bytes.
struct MemoryRun {
  const void* from = nullptr;
  std::uint32_t bytes = 0;
  bool operator==(const MemoryRun&) const = default;
};

/// What one kernel asks into the second-level cache; unused runs, the last ones, have no bytes.
struct WeightsAhead {
  static constexpr int kMost = 8;
  MemoryRun runs[kMost];
};

struct StepWeights {
  double us = 0;      ///< that it is predicted to take
  bool asks = false;  ///< whether its kernel takes a WeightsAhead
  std::vector<MemoryRun> weights;
};

/// What each step asks for: weights of the steps behind it, as late as possible, at most `bytes_per_us` of its own time, and never
/// more than `most_bytes` that are not used yet.
std::vector<WeightsAhead> plan_weights_ahead(const std::vector<StepWeights>& steps, double bytes_per_us, std::size_t most_bytes);

}  // namespace wins::runtime::cuda
