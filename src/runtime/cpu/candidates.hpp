// Which kernels take a problem, in the order of their predicted times.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernel.hpp"
#include "wins/runtime/decisions.hpp"

namespace wins::runtime::cpu {

/// A kernel, cut in one way.
struct Candidate {
  Kernel kernel;
  std::string variant;  ///< empty: the best predicted
  Cost cost;
  /// "cpu:winograd_f2_rows/4", as `SessionOptions::force_kernel` takes it.
  std::string name() const;
};

struct Candidates {
  std::vector<Candidate> taking;  ///< one of each kernel, fastest by prediction first; the earlier of equal ones
  std::vector<std::pair<std::string, std::string>> refused;
};

/// Heeds `force_kernel`.
Candidates find_candidates(const Problem& problem);

/// All ways to cut the work of a candidate's kernel: the cost model's, then the others by prediction.
std::vector<Candidate> variants_of(const Candidate& candidate, const Problem& problem);

/// The least predicted time over the kernels that take a problem, the reference left out; infinite when none does.
double predict_best(const Problem& problem);

}  // namespace wins::runtime::cpu
