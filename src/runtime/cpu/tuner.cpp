#include "tuner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "dnnl_api.hpp"
#include "layer_timer.hpp"
#include "pointwise_pack.hpp"
#include "wins/base/error.hpp"
#include "wins/base/processor.hpp"
#include "wins/runtime/problem.hpp"
#include "wins/version.hpp"

namespace wins::runtime::cpu {
namespace {

/// Candidates that are predicted to take longer than this many times the best are not tried.
constexpr double kWorthTrying = 2;
/// Packing a layer reads its weights and writes up to seven times as much (F(6,3)), in seconds a byte.
constexpr double kPackSeconds = 4e-9;
/// Runs that a candidate takes, the first one with cold caches.
constexpr double kRuns = 5;

bool tunable(const graph::Node& node) {
  return node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr;
}

}  // namespace

Clock steady_clock() {
  return [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
}

std::string tuning_key(const Problem& problem) {
  std::string key = problem_text(problem.env.graph, problem.node);
  if (problem.prologue.norm != nullptr) key += problem.prologue.relu != nullptr ? ":norm+relu" : ":norm";
  if (problem.max_pool != nullptr) key += ":" + problem_text(problem.env.graph, *problem.max_pool);
  if (problem.env.options.weight_storage == WeightStorage::bf16) key += ":bf16";
  const Tensor* weights = problem.constant(1);
  if (problem.node.as<graph::Conv>() != nullptr && weights != nullptr && weights->dtype() == DType::f32 &&
      weights->rank() == 4 && weights->dim(2) == 1 && weights->dim(3) == 1) {
    const PointwiseWork work = pointwise_work(*weights, pointwise_kernels());
    if (work.density < 1) key += fmt::format(":weights{}", work.weights);
  }
  return one_line(key);
}

Tuner::Tuner(const Environment& environment, Decisions& decisions, Clock clock)
    : env_(environment),
      decisions_(decisions),
      clock_(std::move(clock)),
      deadline_(clock_() + kTuningSeconds),
      file_(environment.options.tune_cache,
            fmt::format("{}, {}, {} threads, wins {}", processor_name(), environment.winograd.target, environment.threads, kVersion), decisions) {}

std::vector<Tuner::Group> Tuner::undecided(const std::vector<Problem>& problems) const {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> known;
  for (const Problem& problem : problems) {
    if (!tunable(problem.node)) continue;
    std::string key = tuning_key(problem);
    if (decisions_.by_problem.contains(key)) continue;
    const auto [entry, added] = known.emplace(key, groups.size());
    if (added) groups.push_back({&problem, std::move(key), 0, find_candidates(problem).taking});
    Group& group = groups[entry->second];
    if (!group.candidates.empty()) group.share += group.candidates.front().cost.us;
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.share > b.share; });
  return groups;
}

void Tuner::tune(const std::vector<Problem>& problems) {
  const std::vector<Group> groups = undecided(problems);
  if (groups.empty()) return;
  file_.load();
  for (const Group& group : groups) measure(group);
  for (const Group& group : groups) decisions_.by_problem[group.key] = decide_group(group);
  file_.save();
}

/// Kernels first, each cut as predicted; then the cuts of the fastest.
void Tuner::measure(const Group& group) {
  std::map<std::string_view, WeightStore> weights;
  const auto worth = [&](const Candidate& candidate) {
    return candidate.kernel.name != "ref" && candidate.cost.us <= kWorthTrying * group.candidates.front().cost.us;
  };
  const Candidate* best = nullptr;
  double least = 0;
  std::vector<Candidate> kernels;
  for (const Candidate& candidate : group.candidates) {
    if (worth(candidate)) kernels.push_back(variants_of(candidate, *group.problem).front());
  }
  for (const Candidate& kernel : kernels) {
    WeightStore& store = weights[kernel.kernel.name];
    if (!time_candidate(group, kernel, store)) continue;
    const double us = file_.times(group.key).at(kernel.name());
    if (best != nullptr && us >= least) continue;
    best = &kernel;
    least = us;
  }
  if (best == nullptr) return;
  for (const Candidate& variant : variants_of(*best, *group.problem)) {
    if (worth(variant)) time_candidate(group, variant, weights[variant.kernel.name]);
  }
}

bool Tuner::affordable(const Problem& problem, const Candidate& candidate) const {
  const double weight_bytes = problem.constant(1) != nullptr ? static_cast<double>(problem.constant(1)->byte_size()) : 0;
  return kRuns * candidate.cost.us * 1e-6 + kPackSeconds * weight_bytes < left();
}

/// Whether its time is known now.
bool Tuner::time_candidate(const Group& group, const Candidate& candidate, WeightStore& weights) {
  if (file_.times(group.key).contains(candidate.name())) return true;
  if (!affordable(*group.problem, candidate)) return false;
  const Environment env{env_.graph, env_.options, env_.threads, env_.block, env_.winograd, env_.machine, weights};
  const Problem& given = *group.problem;
  Problem problem{env, given.node, given.existing, given.input_pitches, given.output_pitches, given.prologue,
                  given.max_pool, candidate.variant};
  double us = 0;
  try {
    Implementation implementation = candidate.kernel.build(problem);
    const std::size_t limit = env_.options.memory_limit;
    if (limit > 0 && layer_bytes(problem, implementation) > limit) return false;
    us = time_layer(problem, implementation, [this] { return left(); });
  } catch (const dnnl::error&) {
    return false;  // the compiler will find out, and say so
  }
  if (us <= 0) return false;
  file_.add(group.key, candidate.name(), us);
  return true;
}

Decision Tuner::decide_group(const Group& group) const {
  std::vector<std::string> choices;
  for (const Candidate& kernel : group.candidates) {
    for (const Candidate& variant : variants_of(kernel, *group.problem)) choices.push_back(variant.name());
  }
  return decide(choices, file_.times(group.key));
}

}  // namespace wins::runtime::cpu
