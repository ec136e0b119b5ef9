// One block of memory for all buffers of a plan: offsets by liveness.
#pragma once

#include <cstddef>
#include <vector>

namespace wins::runtime {

/// A buffer that lives from step `first` to step `last`, both included.
struct Lifetime {
  std::size_t bytes = 0;
  std::size_t first = 0, last = 0;
};

struct ArenaPlan {
  std::vector<std::size_t> offsets;  ///< one for each lifetime, aligned
  std::size_t bytes = 0;
};

/// Greedy: the largest buffer first, each in the smallest gap between the buffers that live at the
/// same time.
ArenaPlan plan_arena(const std::vector<Lifetime>& lifetimes, std::size_t alignment = 64);

}  // namespace wins::runtime
