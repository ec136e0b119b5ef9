// What tuning found out in one session.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wins/runtime/session.hpp"
#include "wins/runtime/tuning_table.hpp"

namespace wins::runtime {

/// What was measured of one problem, and what that says.
struct Decision {
  std::string choice;          ///< kernel and cut; empty: the cost model's
  TuningTable::Times measured;  ///< of all its candidates
};

/// Decisions of one session by problem, made once: all its executables run the same kernels.
class Decisions {
 public:
  std::map<std::string, Decision> by_problem;
  bool warned = false;  ///< of a file that cannot be used
};

/// The parts of "kernel/variant", as `SessionOptions::force_kernel` takes it.
std::pair<std::string, std::string> split_choice(const std::string& choice);
/// "kernel/variant", or the kernel alone.
std::string join_choice(std::string_view kernel, const std::string& variant);

/// Puts the candidate of this name first, cut as the name says; `Candidate` has a kernel with a name, and a variant.
template <class Candidate>
void prefer(const std::string& choice, std::vector<Candidate>& candidates) {
  const auto [kernel, variant] = split_choice(choice);
  const auto chosen = std::find_if(candidates.begin(), candidates.end(),
                                   [&, &name = kernel](const Candidate& candidate) { return candidate.kernel.name == name; });
  if (chosen == candidates.end()) return;
  chosen->variant = variant;
  std::rotate(candidates.begin(), chosen, chosen + 1);
}

/// Tells in a line of a plan what the chosen kernel and the others took when they were measured.
void tell_times(const Decision& decision, LayerPlan& line);

}  // namespace wins::runtime
