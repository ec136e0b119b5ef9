#include <algorithm>
#include <cmath>

#include "layers.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"

namespace wins::pruning {

std::vector<SensitivityRow> sensitivity(const graph::Graph& graph, const PruneConfig& config,
                                        const std::vector<double>& ratios, const Calibration& calibration,
                                        const std::function<double(const graph::Graph&)>& evaluate) {
  require(static_cast<bool>(evaluate), "sensitivity needs a way to evaluate a network");
  require(!ratios.empty(), "sensitivity needs at least one ratio");
  PruneConfig alone = config;
  if (alone.method == Method::wins_ab) alone.method = Method::wins;
  alone.layer_ratio.clear();
  const std::vector<std::string> layers = chosen_layers(graph, config);
  const auto checked = [&](const graph::Graph& candidate) {
    const double accuracy = evaluate(candidate);
    require(std::isfinite(accuracy), "sensitivity: the accuracy is NaN");
    return accuracy;
  };

  const double dense = checked(graph);
  std::vector<SensitivityRow> rows;
  for (const std::string& layer : layers) {
    for (const double ratio : ratios) {
      alone.ratio = ratio;
      chosen_layers(graph, alone);  // checks the ratio
      graph::Graph candidate = graph;
      prune_layer(candidate, layer, alone, calibration);
      SensitivityRow row{layer, ratio, 0, 0, 0};
      row.reached = graph::node_named(candidate, layer).as<graph::WinogradConv>()->mask.pruning_ratio();
      row.accuracy = checked(candidate);
      row.drop = dense - row.accuracy;
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace wins::pruning
