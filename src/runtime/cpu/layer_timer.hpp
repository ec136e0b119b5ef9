// One kernel on buffers of its own, timed as it would run inside a network.
#pragma once

#include <functional>

#include "kernel.hpp"

namespace wins::runtime::cpu {

/// Bytes of the inputs that `implementation` reads, of its outputs and of its workspace.
std::size_t layer_bytes(const Problem& problem, const Implementation& implementation);

/// Least microseconds of a few runs, each after the second-level caches have been filled with other
/// data and the inputs touched, as the layers before would leave them. `left` gives the seconds that
/// remain; 0 when they ended before anything was measured.
double time_layer(const Problem& problem, Implementation& implementation, const std::function<double()>& left);

}  // namespace wins::runtime::cpu
