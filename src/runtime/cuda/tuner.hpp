// Chooses kernels by timing them on this GPU, and remembers the times.
#pragma once

#include <string>

#include "candidates.hpp"
#include "wins/runtime/tuning_file.hpp"

namespace wins::runtime::cuda {

/// The problem as a key: its text, nodes inside, precision.
std::string tuning_key(const Problem& problem);

/// For the convolutions of one plan. Takes as long as it takes, some milliseconds a kernel, most of them for packing weights.
class Tuner {
 public:
  /// `decisions` are added to.
  Tuner(const Environment& environment, Decisions& decisions);

  /// What was measured of a problem, now or earlier: all its kernels first, each cut as predicted; then the cuts of the
  /// fastest. Null when it is no convolution or nothing could be measured.
  const Decision* decide(const Problem& problem);
  /// Writes what is new to the file.
  void save() { file_.save(); }

 private:
  void measure(const std::string& key, const Problem& problem, const std::vector<Candidate>& candidates);
  bool time_candidate(const std::string& key, const Problem& problem, const Candidate& candidate, SharedWeights& weights);

  const Environment& env_;
  Decisions& decisions_;
  TuningFile file_;
  bool loaded_ = false;
};

}  // namespace wins::runtime::cuda
