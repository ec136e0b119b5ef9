// Contenders timed in turn.
#pragma once

#include <vector>

#include "contender.hpp"

namespace wins::layers {

struct Times {
  double median_us = 0, min_us = 0;
};

/// `rounds` rounds, each contender once in each; it runs once untimed before, since the others have pushed its
/// weights out of the caches.
std::vector<Times> time_in_turn(std::vector<Contender>& contenders, int rounds);

}  // namespace wins::layers
