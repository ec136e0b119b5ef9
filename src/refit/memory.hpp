// What a refit takes in memory, and how many pictures that allows.
#pragma once

#include <cstddef>
#include <vector>

#include "wins/refit/linear_layer.hpp"
#include "wins/refit/refit.hpp"

namespace wins::refit {

/// Bytes of a layer's second moments and of the vectors that solving takes.
std::size_t statistics_bytes(const LinearLayer& layer);

/// Whether so many batches fit; made for the specialised network.
using Fits = std::function<bool(std::size_t batches)>;

/// Batches of the first one's size, as many as fit (at least one). Throws `Error`, starting with `what`, without
/// pictures, for a network with several inputs, and when a value is not finite, with the picture's number.
std::vector<Tensor> usable_pictures(const graph::Graph& graph, const std::vector<Tensor>& batches,
                                    const std::string& what, const std::function<Fits(const graph::Graph&)>& rule);

/// The rule of the refit: both networks' activations and the statistics of the largest layer within
/// `options.memory_limit`.
std::function<Fits(const graph::Graph&)> refit_fits(const RefitOptions& options);

}  // namespace wins::refit
