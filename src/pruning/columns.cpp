// Which 1x1 convolutions BCBP prunes, and what it leaves of them.
#include "wins/pruning/columns.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layers.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/pruning/statistics.hpp"

namespace wins::pruning {
namespace {

using graph::ColumnMask;

// As for Winograd layers: a picture's three channels are no saving.
constexpr std::int64_t kMinChannels = 5;

double ratio_for(const PruneConfig& config, const std::string& layer) {
  const auto found = config.layer_ratio.find(layer);
  return found == config.layer_ratio.end() ? config.columns->ratio : found->second;
}

ColumnView view_of(const graph::Graph& graph, const graph::Node& node, const Calibration& calibration) {
  ColumnView view{node.name, *graph.constant_input(node, 1), {}, {}};
  const auto known = calibration.find(node.name);
  if (known != calibration.end()) view.input_energy = known->second.input_energy;
  view.output_scale = output_scale(graph, node, view.weights.dim(0));
  return view;
}

Tensor masked(const ColumnMask& mask, Tensor weights) {
  const auto w = weights.mutable_data<float>();
  for (std::int64_t k = 0; k < mask.rows; ++k) {
    for (std::int64_t c = 0; c < mask.columns; ++c) {
      if (!mask.weight_kept(k, c)) w[static_cast<std::size_t>(k * mask.columns + c)] = 0;
    }
  }
  return weights;
}

void prune_column_layer(graph::Graph& graph, const std::string& name, const PruneConfig& config,
                        const Calibration& calibration) {
  const graph::Node& node = graph::node_named(graph, name);
  const ColumnView view = view_of(graph, node, calibration);
  ColumnPruning pruning = *config.columns;
  pruning.ratio = ratio_for(config, name);
  const ColumnMask before = graph::column_mask(graph, node).value_or(
      ColumnMask::full(view.weights.dim(0), view.weights.dim(1), pruning.block));
  const std::vector<double> scores = score_columns(column_criterion(config.criterion), view, pruning.block);
  graph::set_constant_input(graph, name, 1, masked(select_columns(pruning, before, scores), view.weights), name + ".weight");
}

/// Layers of earlier steps stay named, with what is left of them.
void record_columns(graph::Graph& graph, const PruneConfig& config, const std::vector<std::string>& layers) {
  using Json = nlohmann::ordered_json;
  const ColumnPruning& pruning = *config.columns;
  Json record{{"block", pruning.block},
              {"ratio", pruning.ratio},
              {"balanced", pruning.balanced},
              {"criterion", to_string(column_criterion(config.criterion))}};
  const auto earlier = graph::column_blocks(graph);
  const auto named = [&](const std::string& name) {
    return earlier.contains(name) || std::find(layers.begin(), layers.end(), name) != layers.end();
  };
  record["layers"] = Json::array();
  for (const graph::Node& node : graph.nodes) {
    if (!named(node.name) || !graph::pointwise_refusal(graph, node).empty()) continue;
    const ColumnMask mask = graph::nonzero_columns(*graph.constant_input(node, 1), pruning.block);
    record["layers"].push_back({{"name", node.name}, {"ratio", mask.pruning_ratio()}});
  }
  graph.metadata[graph::kColumnPruning] = record.dump();
}

}  // namespace

std::vector<std::string> column_layers(const graph::Graph& graph, std::map<std::string, std::string>* reasons) {
  std::vector<std::string> layers;
  for (const graph::Node& node : graph.nodes) {
    const auto* conv = node.as<graph::Conv>();
    if (conv == nullptr || conv->window.kernel != std::array<std::int64_t, 2>{1, 1}) continue;
    std::string reason = graph::pointwise_refusal(graph, node);
    if (reason.empty() && graph.constant_input(node, 1)->dim(1) < kMinChannels)
      reason = fmt::format("{} input channels: too few to gain from", graph.constant_input(node, 1)->dim(1));
    if (reason.empty()) layers.push_back(node.name);
    else if (reasons != nullptr) (*reasons)[node.name] = reason;
  }
  return layers;
}

std::vector<std::string> chosen_column_layers(const graph::Graph& graph, const PruneConfig& config) {
  if (!config.columns) return {};
  const ColumnPruning& pruning = *config.columns;
  require(pruning.ratio >= 0 && pruning.ratio < 1, "BCBP: pruning ratio {} is outside [0, 1)", pruning.ratio);
  require(pruning.block >= 1 && pruning.block <= graph::kMaxBlock, "BCBP: blocks of {} rows", pruning.block);
  std::vector<std::string> layers = column_layers(graph);
  require(!layers.empty(), "BCBP: {} has no 1x1 convolution to prune (group 1, {} or more input channels)",
          graph.name.empty() ? "the network" : graph.name, kMinChannels);
  for (const auto& [layer, block] : graph::column_blocks(graph)) {
    require(block == pruning.block, "BCBP: an earlier step has pruned {} in blocks of {} rows, not {}", layer, block,
            pruning.block);
  }
  std::erase_if(layers, [&](const std::string& layer) {
    return std::find(config.exclude.begin(), config.exclude.end(), layer) != config.exclude.end();
  });
  return layers;
}

void prune_columns(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration) {
  if (!config.columns) return;
  const std::vector<std::string> layers = chosen_column_layers(graph, config);
  for (const std::string& layer : layers) prune_column_layer(graph, layer, config, calibration);
  record_columns(graph, config, layers);
}

}  // namespace wins::pruning
