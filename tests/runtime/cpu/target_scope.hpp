// Kernels for another instruction set than the best one.
#pragma once

#include <hwy/targets.h>

#include <cstdint>
#include <vector>

namespace wins::runtime::cpu_test {

/// Restores the choice of instruction set.
class TargetScope {
 public:
  explicit TargetScope(std::int64_t target) { use(target); }
  ~TargetScope() { use(0); }
  TargetScope(const TargetScope&) = delete;
  TargetScope& operator=(const TargetScope&) = delete;

 private:
  static void use(std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

struct Target {
  std::int64_t bit;
  const char* name;
};

/// Those that this machine has.
inline std::vector<Target> targets_here() {
  std::vector<Target> result;
  for (const Target& target : {Target{HWY_SSE4, "sse4"}, Target{HWY_AVX2, "avx2"}, Target{HWY_AVX3, "avx3"},
                               Target{HWY_NEON, "neon"}}) {
    if ((hwy::SupportedTargets() & target.bit) != 0) result.push_back(target);
  }
  return result;
}

}  // namespace wins::runtime::cpu_test
