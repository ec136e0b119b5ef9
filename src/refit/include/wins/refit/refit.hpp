// Refit in closed form: after pruning, the weights that are left are fitted to the dense network's
// outputs, layer by layer, without labels and without training.
//
// For one layer and output channel k the output is linear in the weights u_k. With phi the features
// of one output pixel (Winograd: phi[(xi,c)] = Aw[xi,a] V[xi,c], Aw[(i,j),(p,q)] = A[i,p] A[j,q]) and y
// the dense network's output there, the kept weights S solve
//   (H_SS + rho I) (u - u_old)_S = (E[phi y] - H u_old)_S,   H = E[phi phi^T], both centred.
// Layer by layer in forward order, inputs from the network as pruned and refitted so far, targets
// from the dense network (the asymmetric form of He et al., "Channel Pruning", ICCV 2017). Reweighting
// what is left by the Hessian of the output error: Optimal Brain Surgeon (Hassibi & Stork, 1993),
// Optimal Brain Compression (Frantar & Alistarh, 2022). See docs/pruning-without-training.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::refit {

/// What happened to one layer. Errors: squared differences to the dense network's output of the block (behind
/// the layer's batch norm, residual add and activation, as far as they follow) over that output's squared
/// deviation from its channel means, over all calibration pictures, as a square root.
struct LayerFit {
  std::string layer;
  bool refitted = false;
  std::string reason;       ///< why not, when it was not
  double error_before = 0;  ///< relative output error with the weights as pruned
  double error_after = 0;
  int iterations = 0;
  std::int64_t tiles = 0;  ///< sampled
};

struct RefitResult {
  graph::Graph graph;  ///< same nodes as the pruned network, new weights
  std::vector<LayerFit> layers;
  std::int64_t pictures = 0;  ///< used
};

struct RefitOptions {
  /// rho / mean diagonal of H: pulls towards the pruned network's own weights.
  double ridge = 0.03;
  int max_iterations = 40;  ///< of conjugate gradients
  double tolerance = 1e-4;   ///< on the preconditioned residual, relative to the first
  /// Tiles (output pixels of other layers) sampled for each weight of an output channel.
  double tiles_per_weight = 16;
  /// The targets of a layer that feeds a residual add also correct the error of the other branch.
  bool correct_residual = true;
  /// Where a Relu or Clip follows (behind batch norm and residual add, if any): solutions that count only
  /// what the activation lets through; 0 = targets in front of the activation.
  int activation_rounds = 3;
  /// Convolutions that are not pruned (group 1) and fully connected layers are refitted too.
  bool all_layers = true;
  /// Statistics of batch norm nodes follow the pruned network's activations.
  bool recalibrate = true;
  /// Who runs the networks: "cpu", or "ref" for the double-precision reference (slow).
  std::string engine = "cpu";
  int threads = 0;         ///< 0: the cores this process may use
  std::uint64_t seed = 0;  ///< draws the sampled tiles
  /// Bound in bytes on activations and statistics; 0 = none. Fewer pictures are used to keep it, and a
  /// layer whose statistics alone exceed it is left as it is.
  std::size_t memory_limit = 0;
  /// Called before each layer: (layers done, layers, name).
  std::function<void(std::size_t, std::size_t, const std::string&)> progress;
  /// Called after each layer with what is done so far: a later call of the same job goes on from it.
  std::function<void(const RefitResult&)> checkpoint;
  /// Layers that an earlier call of the same job has done; null = none.
  const RefitResult* resume = nullptr;
};

/// Refits `pruned` against `dense`: the same nodes under the same names, where a Conv of the dense network
/// may be a WinogradConv of the pruned one. 1x1 convolutions whose columns are pruned (graph/column_mask.hpp) are fitted
/// on the columns that each block keeps. `batches`: [N, C, H, W] float32 pictures; only as many as fill
/// batches of the first one's size are used. No labels are read; networks that do not classify work
/// alike. Deterministic for a given thread count.
/// Throws `Error` when the networks do not match, without pictures, or when a picture holds a value that
/// is not finite.
RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                  const RefitOptions& options = {});

}  // namespace wins::refit
