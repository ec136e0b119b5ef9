// What tuning found out in one session.
#pragma once

#include <map>
#include <string>

#include "tuning_table.hpp"

namespace wins::runtime::cpu {

/// What was measured of one problem, and what that says.
struct Decision {
  std::string choice;          ///< `Candidate::name`; empty: the cost model's
  TuningTable::Times measured;  ///< of all its candidates
};

/// Decisions of one session by problem, made once: all its executables run the same kernels.
class Decisions {
 public:
  std::map<std::string, Decision> by_problem;
  bool warned = false;  ///< of a file that cannot be used
};

}  // namespace wins::runtime::cpu
