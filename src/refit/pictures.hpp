// The calibration pictures that a walk over a network can use.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// The batches of the first one's shape, as many as `memory_limit` bytes (0 = no limit, at least one) hold
/// the activations of, `networks` times. Throws `Error`, starting with `what`, without pictures, when the
/// network has several inputs, and for a picture with a value that is not finite.
std::vector<Tensor> usable_pictures(const graph::Graph& graph, const std::vector<Tensor>& batches,
                                    std::size_t memory_limit, std::size_t networks, const std::string& what);

}  // namespace wins::refit
