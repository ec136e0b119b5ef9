// Pruning a whole network.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
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
  int m = 2;                        ///< 2, 4; 0 = auto (2 where pruned, 4 where the ratio is 0)
};

/// E[V[xi,c]^2] per prunable layer, by node name; [p*p, C] float64.
using Calibration = std::map<std::string, Tensor>;

/// Nodes that pruning may touch, in graph order: Conv that Winograd takes (winograd_refusal is
/// empty, C > 4) and WinogradConv nodes already there. `reasons` gets one line per other Conv.
std::vector<std::string> prunable_layers(const graph::Graph& graph,
                                         std::map<std::string, std::string>* reasons = nullptr);

/// Runs the network on calibration images ([N,C,H,W] batches) with the CPU engine and gathers
/// the input energies of each prunable layer at tile size `m`.
Calibration calibrate(const graph::Graph& graph, const std::vector<Tensor>& batches, int m);

/// Applies one method to all prunable layers: Conv becomes WinogradConv with a mask, U zeroed
/// where pruned. Deterministic. A layer that is a masked WinogradConv already is pruned further
/// (steps). Throws `Error` for ratios outside [0,1), unknown layer names (listing the known
/// ones), contradictions. `wins_ab` here needs choices: use decide_wins_ab.
void prune(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration);

/// One layer's part in WINS-AB, kept in the report and in the model's metadata.
struct AbDecision {
  std::string layer;
  double time_wins_us = 0;
  double time_wins_b_us = 0;
  double outlook_before = 0;  ///< outlook accuracy with the layer as WINS (current choices)
  double outlook_after = 0;   ///< with this layer switched to WINS-B
  double gain = 0;            ///< time gained / total time
  double price = 0;           ///< accuracy lost
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

/// WINS-AB (paper, section 3.4): masks of both kinds at the target ratio, measured times, then a
/// walk over the layers by time gained; a layer becomes WINS-B when
///   lost accuracy <= tradeoff * (time gained / total time of the Winograd layers).
/// `tradeoff`: points of accuracy (in [0,1]) that one whole network's time is worth.
std::vector<AbDecision> decide_wins_ab(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration,
                                       const AbHooks& hooks, double tradeoff);

}  // namespace wins::pruning
