// What removing a row of a Winograd layer costs its output, from second moments of calibration pictures.
//
// With phi[(xi,c)] = Aw[xi,a] V[xi,c] the features of one output pixel (see refit.hpp) and H their centred
// second moments, the squared output error of channel k is a quadratic form in its weights. Removing a part g
// of them, while all others are re-solved, raises it by u_g^T ((H^-1)_gg)^-1 u_g: Hassibi & Stork, "Second
// order derivatives for network pruning: Optimal Brain Surgeon", NIPS 1993, equation 5, for a group of
// weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

enum class RowScore {
  /// Place of the row in a greedy order of removal by Optimal Brain Surgeon on one scalar for each row: the
  /// rows keep their directions, and those that are left may only be rescaled to make up for the removed.
  gram,
  /// Rise of the squared output error when the row goes and all weights of the channel's other rows are
  /// re-solved; rows are taken one at a time.
  obs,
};

struct RowScoreOptions {
  double obs_ridge = 0.01;       ///< added to the diagonal of H, relative to its mean
  double gram_ridge = 0.001;     ///< the same for the scalars of one channel
  double tiles_per_weight = 16;  ///< tiles sampled for each weight of an output channel
  int threads = 0;               ///< 0: the cores this process may use
  std::uint64_t seed = 0;        ///< draws the sampled tiles
  /// Bound in bytes on activations and statistics; 0 = none. Fewer pictures are used to keep it; where obs
  /// would exceed it, the layer gets gram.
  std::size_t memory_limit = 0;
  /// Called before each layer: (layers done, layers, name).
  std::function<void(std::size_t, std::size_t, const std::string&)> progress;
};

/// Scores of one layer; higher = more important. All carry the squared factor of a batch norm that alone
/// reads the output, so that channels compare by what leaves it.
struct LayerScores {
  /// [p*p, K] float64. gram: 0 for the row that goes first, then 1, 2, ...; obs: mean square of the output.
  /// Undefined when `note` says why there are none.
  Tensor rows;
  /// [K] float64: variance of the output channel, which is lost with the whole filter.
  Tensor filters;
  std::string note;  ///< what was done otherwise than asked, and why; or empty
};

/// Scores of every WinogradConv of `graph`, by node name. Inputs of a layer come from `graph` as it is. Rows
/// that are pruned already score lowest; they take no part in gram, in obs only where their whole position is
/// pruned. `batches`: [N, C, H, W] float32 pictures; only as many as fill batches of the first one's size are
/// used. Deterministic for a given thread count. Throws `Error` without pictures, for several inputs, when a
/// picture or a weight holds a value that is not finite, and when the moments of a layer exceed the memory
/// limit.
std::map<std::string, LayerScores> row_scores(RowScore kind, const graph::Graph& graph,
                                              const std::vector<Tensor>& batches,
                                              const RowScoreOptions& options = {});

}  // namespace wins::refit
