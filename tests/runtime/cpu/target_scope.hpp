// Kernels for another instruction set than the best one.
#pragma once

#include <hwy/targets.h>

#include <cstdint>

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

}  // namespace wins::runtime::cpu_test
