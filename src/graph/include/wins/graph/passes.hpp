// Rewrites that keep the function a graph computes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::graph {

/// Folds each BatchNorm into the Conv / WinogradConv / ConvTranspose / Gemm before it (when that
/// output has no other reader). Returns how many were folded. Computed in double.
int fold_batch_norm(Graph& graph);

/// x * sigmoid(x) -> silu, Add+Erf+Mul chains -> gelu, x * hard_sigmoid(x) -> hard_swish.
int fuse_composite_activations(Graph& graph);

/// Moves bias Add, residual Add and activations into the convolution (or Gemm) before them:
/// Y = activation(conv + bias + residual). Returns how many nodes were absorbed.
int fuse_epilogues(Graph& graph);

/// Drops Identity, Dropout, no-op Reshape/Pad/Cast/Transpose/Concat-of-one.
int remove_identities(Graph& graph);

/// Why Winograd does not take a convolution; empty when it does (stride 1, dilation 1,
/// group 1, square r x r kernel with r = 3, constant weights). With `strided` it also takes stride 2:
/// that is for layers to be pruned, dense it gains too little (25 products of 36) to be chosen unasked.
std::string winograd_refusal(const Graph& graph, const Node& node, bool strided = false);

/// Pads (top, left, bottom, right) that a Conv or WinogradConv with 3x3 kernel has as Winograd layer,
/// auto_pad resolved. Throws `Error` where that depends on an unknown input size ("same", stride 2).
std::array<std::int64_t, 4> winograd_pads(const Graph& graph, const Node& node);

/// Replaces Conv `node_name` by a dense WinogradConv with F(m, r), stride 1 or 2 (the latter with m = 2
/// alone). Throws `Error` with the refusal.
void to_winograd(Graph& graph, const std::string& node_name, int m);

/// Replaces every WinogradConv by its equivalent strided Conv + DepthToSpace (+ Slice for odd
/// sizes, + Add, activation): standard operators only. Needs concrete or multiple-of-m output
/// extents to know the crop; dynamic extents get a Shape-driven Slice.
void to_portable(Graph& graph);

/// What `Session` runs before planning: remove_identities, fold_batch_norm,
/// fuse_composite_activations, fuse_epilogues, remove_unused.
void optimize_for_inference(Graph& graph);

}  // namespace wins::graph
