// Timing several contenders in turn, in one run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"

namespace wins::cli {

/// Something that can be timed: one call does one inference and returns its microseconds.
struct Contender {
  std::string name;
  std::function<double()> run_once;
  /// Its threads may still spin after a run (another process): the next contender waits.
  bool spins_after = false;
};

struct Timing {
  std::string name;
  double median_us = 0;
  double min_us = 0;
  double p99_us = 0;
};

/// Warms every contender up, then `rounds` rounds in which each runs in turn, once untimed (caches
/// and thread teams are its own again) and once timed: load on the machine meets all of them
/// alike, so ratios hold where absolute times drift.
std::vector<Timing> time_in_turn(std::vector<Contender>& contenders, int rounds, int warm_up = 3);

/// Microseconds of one call of `body`.
double microseconds(const std::function<void()>& body);

/// Middle value (upper middle for even counts); 0 for none.
double median(std::vector<double> values);

}  // namespace wins::cli
