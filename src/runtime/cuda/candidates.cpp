#include "candidates.hpp"

#include <algorithm>
#include <limits>

#include "wins/runtime/decisions.hpp"

namespace wins::runtime::cuda {
namespace {

std::optional<std::string> refusal_of(const Kernel& kernel, const Problem& problem) {
  if (problem.prologue.norm != nullptr && !kernel.takes_prologue) return "batch norm before it";
  if (problem.max_pool != nullptr && !kernel.takes_max_pool) return "max-pool behind it";
  if (problem.summand != nullptr && !kernel.takes_summand) return "the convolution that it adds";
  if (problem.companion != nullptr && !kernel.takes_companion) return "the 1x1 convolution beside it";
  if (problem.tiles_to != nullptr && !kernel.takes_tiles) return "its outputs are those of tiles";
  if (problem.input_pixels > 1 && !kernel.takes_pixels) return "its input lies by pixels";
  return kernel.refuse(problem);
}

}  // namespace

std::string Candidate::name() const { return join_choice(kernel.name, variant); }

Candidates find_candidates(const Problem& problem) {
  Candidates result;
  if (problem.output().dtype != DType::f32) {
    result.refused.emplace_back("all", "its output is not float32");
    return result;
  }
  const auto [wanted, variant] = split_choice(problem.env.options.force_kernel);
  for (const Kernel& kernel : kernels_for(problem.node.op)) {
    if (auto reason = refusal_of(kernel, problem)) {
      result.refused.emplace_back(std::string(kernel.name), std::move(*reason));
    } else if (kernel.name == wanted) {
      result.taking.push_back({kernel, variant, 0});
    } else {
      result.taking.push_back({kernel, "", kernel.predict(problem) + (kernel.reads_host ? 0 : problem.conversion_us)});
    }
  }
  std::stable_sort(result.taking.begin(), result.taking.end(), [](const Candidate& a, const Candidate& b) { return a.us < b.us; });
  return result;
}

std::vector<Candidate> variants_of(const Candidate& candidate, const Problem& problem) {
  if (candidate.kernel.variants == nullptr) return {candidate};
  std::vector<Candidate> result;
  for (std::string& variant : candidate.kernel.variants(problem)) result.push_back({candidate.kernel, std::move(variant), candidate.us});
  return result;
}

double predict_best(const Problem& problem) {
  const Candidates candidates = find_candidates(problem);
  return candidates.taking.empty() ? std::numeric_limits<double>::infinity() : candidates.taking[0].us;
}

Implementation build(const Candidate& candidate, const Problem& problem) {
  Problem cut = problem;
  cut.variant = candidate.variant;
  Implementation result = candidate.kernel.build(cut);
  result.reads_host = candidate.kernel.reads_host;
  return result;
}

}  // namespace wins::runtime::cuda
