// One kernel on memory of its own, timed.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Microseconds of the step, the least of some bursts, with what the second-level cache keeps of the run before. Throws `Error` when memory is short.
double time_layer(const Problem& problem, const Implementation& implementation);

}  // namespace wins::runtime::cuda
