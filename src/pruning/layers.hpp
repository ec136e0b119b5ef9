// The layers that pruning works on. Private to the room.
#pragma once

#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/pruning/prune.hpp"

namespace wins::pruning {

/// Ratio of one layer: the override or the common one.
double ratio_of(const PruneConfig& config, const std::string& layer);

/// Layers that the Winograd method of `config` touches, in graph order. Throws `Error` on everything in `config` that is
/// out of range, unknown or contradictory.
std::vector<std::string> chosen_layers(const graph::Graph& graph, const PruneConfig& config);

/// Puts `U` and `mask` into WinogradConv `name`; other readers of the old weights keep those.
void set_weights(graph::Graph& graph, const std::string& name, const winograd::Mask& mask, Tensor U);

/// Factors of the batch norm that alone reads the output of a Conv or WinogradConv of K channels, or empty.
std::vector<double> output_scale(const graph::Graph& graph, const graph::Node& node, std::int64_t K);

/// 1x1 layers that `config.columns` touches, in graph order; none without it. Throws `Error` on everything in it that is
/// out of range or contradictory, and when the network has no such layer.
std::vector<std::string> chosen_column_layers(const graph::Graph& graph, const PruneConfig& config);

/// Prunes them and records it in `metadata["wins.bcbp"]`; nothing without `config.columns`.
void prune_columns(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration);

/// Prunes one layer by one method (not wins_ab).
void prune_layer(graph::Graph& graph, const std::string& name, const PruneConfig& config,
                 const Calibration& calibration);

/// `metadata["wins.prune"]` of a graph that was pruned with `config`.
void record_pruning(graph::Graph& graph, const PruneConfig& config, const std::vector<std::string>& layers);
/// `metadata["wins.ab"]`.
void record_decisions(graph::Graph& graph, const std::vector<AbDecision>& decisions, double tradeoff);

}  // namespace wins::pruning
