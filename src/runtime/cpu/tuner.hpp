// Chooses kernels by timing them on this machine, within a budget, and remembers the times.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "candidates.hpp"
#include "wins/runtime/decisions.hpp"
#include "wins/runtime/tuning_file.hpp"

namespace wins::runtime::cpu {

/// Seconds since some moment.
using Clock = std::function<double()>;
Clock steady_clock();

/// Most seconds that tuning may add to one compilation. Less than the promised one, for what is
/// written afterwards.
inline constexpr double kTuningSeconds = 0.8;

/// The problem as a key: its text, nodes inside, storage of weights, and the columns that a pruned 1x1 layer has left.
std::string tuning_key(const Problem& problem);

/// Convolutions of one plan, tuned together.
class Tuner {
 public:
  /// `decisions` are added to.
  Tuner(const Environment& environment, Decisions& decisions, Clock clock = steady_clock());

  /// Decides every problem that is not decided yet: by the times in the file, and by what can be
  /// measured before the budget ends, layers with most predicted time first. Files that cannot be
  /// read or written are named in a warning on standard error, once a session.
  void tune(const std::vector<Problem>& problems);

 private:
  struct Group {
    const Problem* problem;
    std::string key;
    double share = 0;  ///< predicted microseconds of all its layers
    std::vector<Candidate> candidates;
  };
  std::vector<Group> undecided(const std::vector<Problem>& problems) const;
  void measure(const Group& group);
  bool time_candidate(const Group& group, const Candidate& candidate, WeightStore& weights);
  bool affordable(const Problem& problem, const Candidate& candidate) const;
  Decision decide_group(const Group& group) const;
  double left() const { return deadline_ - clock_(); }

  Environment env_;
  Decisions& decisions_;
  Clock clock_;
  double deadline_;
  TuningFile file_;
};

}  // namespace wins::runtime::cpu
