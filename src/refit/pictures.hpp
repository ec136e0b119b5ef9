// Calibration pictures that a walk over the network can hold.
#pragma once

#include <cstddef>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// As many batches of the first one's size as the activations of `dense` and of a network beside it leave
/// room for in `memory_limit` bytes (0 = no limit), at least one. Throws `Error` without pictures, for a
/// network with several inputs, and when a picture holds a value that is not finite (by its number).
std::vector<Tensor> usable_pictures(const graph::Graph& dense, const std::vector<Tensor>& batches,
                                    std::size_t memory_limit);

}  // namespace wins::refit
