#include "tuner.hpp"

#include <fmt/format.h>

#include <map>

#include "layer_timer.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/problem.hpp"
#include "wins/version.hpp"

namespace wins::runtime::cuda {
namespace {

/// Candidates that are predicted to take longer than this many times the best are not tried, and cuts of the fastest.
constexpr double kWorthTrying = 4;
constexpr std::size_t kMostVariants = 12;

std::string machine_text() {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "the runtime's version");
  return fmt::format("{}, driver {}, CUDA {}, cuBLAS {}, cuDNN {}, wins {}", device().name, driver, runtime, cublasLtGetVersion(), cudnnGetVersion(), kVersion);
}

const char* text_of(Operand operand) {
  switch (operand) {
    case Operand::f16: return "fp16";
    case Operand::bf16: return "bf16";
    case Operand::tf32: return "tf32";
    case Operand::f32: return "fp32";
  }
  return "";
}

}  // namespace

std::string tuning_key(const Problem& problem) {
  std::string key = problem_text(problem.env.graph, problem.node);
  if (problem.prologue.norm != nullptr) key += problem.prologue.relu != nullptr ? ":norm+relu" : ":norm";
  if (problem.input_pixels > 1) key += ":pixels";
  if (problem.summand != nullptr) key += ":" + problem_text(problem.env.graph, *problem.summand);
  if (problem.companion != nullptr) key += (problem.companion->first ? ":behind " : ":before ") + problem_text(problem.env.graph, *problem.companion->pointwise);
  if (problem.max_pool != nullptr) key += ":" + problem_text(problem.env.graph, *problem.max_pool);
  return one_line(key + ":" + text_of(problem.env.operand));
}

Tuner::Tuner(const Environment& environment, Decisions& decisions)
    : env_(environment), decisions_(decisions), file_(environment.options.tune_cache, machine_text(), decisions) {}

const Decision* Tuner::decide(const Problem& problem) {
  if (problem.node.as<graph::Conv>() == nullptr && problem.node.as<graph::WinogradConv>() == nullptr) return nullptr;
  const std::string key = tuning_key(problem);
  const auto known = decisions_.by_problem.find(key);
  Decision& decision = known != decisions_.by_problem.end() ? known->second : decisions_.by_problem[key];
  if (known == decisions_.by_problem.end()) {
    if (!loaded_) file_.load();
    loaded_ = true;
    const std::vector<Candidate> candidates = find_candidates(problem).taking;
    measure(key, problem, candidates);
    std::vector<std::string> choices;
    for (const Candidate& kernel : candidates) {
      for (const Candidate& variant : variants_of(kernel, problem)) choices.push_back(variant.name());
    }
    decision = runtime::decide(choices, file_.times(key));
  }
  return decision.choice.empty() ? nullptr : &decision;
}

void Tuner::measure(const std::string& key, const Problem& problem, const std::vector<Candidate>& candidates) {
  std::map<std::string_view, SharedWeights> weights;
  const Candidate* best = nullptr;
  double least = 0;
  std::vector<Candidate> kernels;
  for (const Candidate& candidate : candidates) {
    if (candidate.us <= kWorthTrying * candidates.front().us) kernels.push_back(variants_of(candidate, problem).front());
  }
  for (const Candidate& kernel : kernels) {
    if (!time_candidate(key, problem, kernel, weights[kernel.kernel.name])) continue;
    const double us = file_.times(key).at(kernel.name());
    if (best != nullptr && us >= least) continue;
    best = &kernel;
    least = us;
  }
  if (best == nullptr) return;
  std::vector<Candidate> variants = variants_of(*best, problem);
  if (variants.size() > kMostVariants) variants.resize(kMostVariants);
  for (const Candidate& variant : variants) time_candidate(key, problem, variant, weights[variant.kernel.name]);
}

/// Whether its time is known now.
bool Tuner::time_candidate(const std::string& key, const Problem& problem, const Candidate& candidate, SharedWeights& weights) {
  if (file_.times(key).contains(candidate.name())) return true;
  const Environment apart{env_.graph, env_.options, env_.operand, weights, env_.libraries};
  const Problem alone = problem.in(apart);
  double us = 0;
  try {
    us = time_layer(alone, build(candidate, alone));
  } catch (const Unsupported&) {
    return false;  // the compiler will find out, and say so
  } catch (const Error&) {
    return false;  // no memory for it, or weights that it does not take: the compiler says so where it is chosen
  }
  file_.add(key, candidate.name(), us + (candidate.kernel.reads_host ? 0 : problem.conversion_us));
  return true;
}

}  // namespace wins::runtime::cuda
