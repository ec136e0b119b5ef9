// What tuning found out in one session.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

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

/// Tells in a line of a plan what the chosen kernel and the others took when they were measured.
void tell_times(const Decision& decision, LayerPlan& line);

}  // namespace wins::runtime
