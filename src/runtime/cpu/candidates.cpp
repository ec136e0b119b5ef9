#include "candidates.hpp"

#include <algorithm>
#include <limits>
#include <optional>

namespace wins::runtime::cpu {
namespace {

void sort_by_cost(std::vector<Candidate>::iterator first, std::vector<Candidate>::iterator last) {
  std::stable_sort(first, last,
                   [](const Candidate& a, const Candidate& b) { return a.cost.us < b.cost.us; });
}

/// Why a kernel may not, or cannot, run the problem.
std::optional<std::string> refusal_of(const Kernel& kernel, const Problem& problem) {
  const std::string wanted = split_choice(problem.env.options.force_kernel).first;
  const std::vector<Kernel> kernels = kernels_for(problem.node.op);
  const bool forced = std::any_of(kernels.begin(), kernels.end(), [&](const Kernel& other) { return other.name == wanted; });
  if (forced && kernel.name != wanted && kernel.name != "ref") return wanted + " is forced";
  if (problem.prologue.norm != nullptr && !kernel.takes_prologue) return "batch norm before it";
  if (problem.max_pool != nullptr && !kernel.takes_max_pool) return "max-pool behind it";
  return kernel.refuse(problem);
}

}  // namespace

std::string Candidate::name() const {
  return join_choice(kernel.name, variant);
}

Candidates find_candidates(const Problem& problem) {
  Candidates result;
  const std::vector<Kernel> kernels = kernels_for(problem.node.op);
  const auto [wanted, variant] = split_choice(problem.env.options.force_kernel);
  for (const Kernel& kernel : kernels) {
    if (const auto reason = refusal_of(kernel, problem)) {
      result.refused.emplace_back(kernel.name, *reason);
    } else {
      result.taking.push_back({kernel, kernel.name == wanted ? variant : "", kernel.predict(problem)});
    }
  }
  sort_by_cost(result.taking.begin(), result.taking.end());
  return result;
}

std::vector<Candidate> variants_of(const Candidate& candidate, const Problem& problem) {
  if (candidate.kernel.variants == nullptr) return {candidate};
  std::vector<Candidate> all;
  for (const Variant& variant : candidate.kernel.variants(problem))
    all.push_back({candidate.kernel, variant.name, variant.cost});
  sort_by_cost(all.begin() + 1, all.end());
  return all;
}

double predict_best(const Problem& problem) {
  for (const Candidate& candidate : find_candidates(problem).taking) {
    if (candidate.kernel.name != "ref") return candidate.cost.us;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace wins::runtime::cpu
