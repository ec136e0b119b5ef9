// Pruning a whole network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/pruning/columns.hpp"
#include "wins/pruning/criteria.hpp"
#include "wins/pruning/methods.hpp"

namespace wins::pruning {

struct PruneConfig {
  Method method = Method::wins_ab;
  Criterion criterion = Criterion::output_aware;
  winograd::Axis axis = winograd::Axis::row;
  double ratio = 0.5;                         ///< for every prunable layer
  std::map<std::string, double> layer_ratio;  ///< overrides by node name; 0 = dense Winograd
  std::vector<std::string> exclude;           ///< node names left as they are
  double min_layer_share = 0.0;     ///< floor: kept share of each layer
  double min_position_share = 0.0;  ///< floor: kept share of each position
  std::int64_t round_to = 1;        ///< kept rows per position rounded up to a multiple
  /// Tile of the layers that are still Conv: 2, 4, 6; 0 = auto (2 where pruned, 4 where the ratio
  /// is 0). A WinogradConv keeps its own; stride 2 has 2 alone.
  int m = 2;
  /// BCBP of the 1x1 convolutions beside the method; none = they stay as they are. `layer_ratio` and `exclude` may then
  /// name them too, floors and rounding are not for them.
  std::optional<ColumnPruning> columns;
  bool strided = false;  ///< also 3x3 convolutions of stride 2
  std::uint64_t seed = 0;  ///< recorded with the result; pruning itself draws nothing
};

/// What calibration pictures say about one layer; see LayerView.
struct LayerCalibration {
  Tensor input_energy;   ///< E[V[xi,c]^2], [p*p, C] float64, of a 1x1 convolution E[x_c^2], [1, C]; for output-aware
  Tensor row_scores;     ///< [p*p, K] float64; for gram and obs
  Tensor filter_scores;  ///< [K] float64; the same with method fp
};
/// By node name.
using Calibration = std::map<std::string, LayerCalibration>;

/// Running sum of V[xi,c]^2 over input tiles (of x_c^2 over the pixels that a 1x1 convolution reads).
struct InputEnergy {
  Tensor sum;              ///< [p*p, C] or [1, C] float64; undefined before the first batch
  std::int64_t tiles = 0;  ///< tiles summed, over all images
  /// sum / tiles. Throws `Error` before the first batch.
  Tensor mean() const;
};

/// Adds the energies of all tiles of `x` ([N, C, H, W] float32) as an r x r convolution of the
/// algorithm's stride with `pads` (top, left, bottom, right) cuts them: V = B^T d B in double, zeros outside.
void accumulate_input_energy(const winograd::Algorithm& algorithm, const std::array<std::int64_t, 4>& pads,
                             const Tensor& x, InputEnergy& energy);

/// Adds x_c^2 over the pixels of `x` ([N, C, H, W] float32) that a 1x1 convolution reads: with its stride, zeros outside
/// the image where its pads reach.
void accumulate_pixel_energy(const graph::Window& window, const Tensor& x, InputEnergy& energy);

/// Nodes that the Winograd methods may touch, in graph order: Conv that Winograd takes (winograd_refusal is
/// empty, C > 4), of stride 2 too with `strided`, and WinogradConv nodes already there. `reasons`
/// gets one line per other Conv.
std::vector<std::string> prunable_layers(const graph::Graph& graph,
                                         std::map<std::string, std::string>* reasons = nullptr, bool strided = false);

/// Runs the network on calibration images ([N,C,H,W] batches) with the CPU engine and gathers
/// the input energies of `layers` (names from `prunable_layers` or `column_layers`; empty = all prunable layers of stride
/// 1), Winograd's at tile size `m` (0 = 2; stride 2: 2; a WinogradConv: its own).
/// Throws `Error` without batches, or when a batch does not fit the network.
Calibration calibrate(const graph::Graph& graph, const std::vector<Tensor>& batches, int m,
                      const std::vector<std::string>& layers = {});

/// Throws what `prune` throws for ratios, names and combinations that make no sense; before work is spent.
void check(const graph::Graph& graph, const PruneConfig& config);

/// Applies one method to all prunable layers: Conv becomes WinogradConv with a mask, U zeroed
/// where pruned. Deterministic. A layer that is a masked WinogradConv already is pruned further
/// (steps): ratios always count from the unpruned layer, and only kept units are removed.
/// `config.columns` prunes the 1x1 convolutions by BCBP: they stay Conv, their weights zeroed where pruned, named in
/// `metadata["wins.bcbp"]` (graph/column_mask.hpp).
/// `metadata["wins.prune"]` tells what was done. Throws `Error` for ratios outside [0,1), unknown
/// layer names (listing the known ones), contradictions. `wins_ab` needs choices: decide_wins_ab.
void prune(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration);

/// One layer's part in WINS-AB, kept in the report and in the model's metadata.
struct AbDecision {
  std::string layer;
  double time_wins_us = 0;    ///< median over the measuring rounds
  double time_wins_b_us = 0;
  double noise_us = 0;        ///< half the spread of the rounds, the larger of the two kinds
  bool evaluated = false;     ///< whether the outlook was asked; if not, both accuracies are NaN
  double outlook_before = 0;  ///< outlook accuracy with the layer as WINS (current choices)
  double outlook_after = 0;   ///< with this layer switched to WINS-B
  double gain = 0;            ///< time gained / total time of the Winograd layers, all as WINS
  double price = 0;           ///< accuracy lost; 0 when not evaluated
  bool balanced = false;      ///< switched to WINS-B
  std::string reason;
};

struct AbHooks {
  /// Time of each WinogradConv layer of a graph in microseconds, on the target backend.
  std::function<std::map<std::string, double>(const graph::Graph&)> measure;
  /// Accuracy in [0,1] after a short adaptation of a copy of the graph.
  std::function<double(const graph::Graph&)> outlook;
  /// Progress: (layers done, layers).
  std::function<void(std::size_t, std::size_t)> progress;
};

/// Bounds on what WINS-AB spends.
struct AbLimits {
  /// Times each of the two graphs is measured, in turn; the spread is the noise.
  int rounds = 3;
  /// Layers whose switch is evaluated; 0 = all. One adaptation per layer and one for the start is
  /// what WINS-AB costs. The walk takes the largest gains first, so a limit cuts off the layers
  /// where the least time is at stake; those keep WINS, the choice that cannot lose accuracy.
  std::size_t max_outlooks = 0;
};

/// WINS-AB (Park et al., ICCV 2025): masks of both kinds at the target ratio, measured times, then
/// a walk over the layers by time gained, largest first; a layer becomes WINS-B when
///   lost accuracy <= tradeoff * (time gained / total time of the Winograd layers).
/// `tradeoff` >= 0: points of accuracy (in [0,1]) that one whole network's time is worth. Layers
/// whose gain is within the noise keep WINS unevaluated. On return `graph` is pruned as decided,
/// one decision per pruned layer stands in walk order here and in `metadata["wins.ab"]`.
/// Throws `Error` when a hook misses a layer or gives NaN; `graph` is then untouched.
std::vector<AbDecision> decide_wins_ab(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration,
                                       const AbHooks& hooks, double tradeoff, const AbLimits& limits = {});

/// One point of the sensitivity table.
struct SensitivityRow {
  std::string layer;
  double ratio = 0;     ///< asked for
  double reached = 0;   ///< pruning ratio of the layer
  double accuracy = 0;  ///< of the network with this layer alone pruned
  double drop = 0;      ///< accuracy of the network as it came - accuracy
};

/// Accuracy against ratio, layer by layer: each prunable layer (less `config.exclude`) is pruned
/// alone, without adaptation, at each ratio; `evaluate` gives the accuracy of a graph and is called
/// 1 + layers x ratios times. `wins_ab` counts as `wins`. Order: layers as in the graph, then ratios.
std::vector<SensitivityRow> sensitivity(const graph::Graph& graph, const PruneConfig& config,
                                        const std::vector<double>& ratios, const Calibration& calibration,
                                        const std::function<double(const graph::Graph&)>& evaluate);

}  // namespace wins::pruning
