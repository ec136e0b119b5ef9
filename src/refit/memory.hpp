// What a refit takes in memory, and how many pictures that allows.
#pragma once

#include <cstddef>
#include <vector>

#include "wins/refit/linear_layer.hpp"
#include "wins/refit/refit.hpp"

namespace wins::refit {

/// Bytes of a layer's second moments and of the vectors that solving takes.
std::size_t statistics_bytes(const LinearLayer& layer);

/// Batches of the first one's size, as many as `options.memory_limit` allows (at least one). Throws `Error`
/// without pictures, for a network with several inputs, and when a value is not finite, with the picture's
/// number.
std::vector<Tensor> usable_pictures(const graph::Graph& pruned, const std::vector<Tensor>& batches,
                                    const RefitOptions& options);

}  // namespace wins::refit
