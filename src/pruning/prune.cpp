#include "wins/pruning/prune.hpp"

#include <cmath>
#include <limits>

#include "layers.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"

namespace wins::pruning {
namespace {

using winograd::Axis;
using winograd::Mask;

constexpr double kPruned = -std::numeric_limits<double>::infinity();

LayerView view_of(const graph::Graph& graph, const graph::Node& node, const Calibration& calibration) {
  const auto* conv = node.as<graph::WinogradConv>();
  const Tensor* U = graph.constant_input(node, 1);
  require(U != nullptr, "{}: its weights are not constant", node.name);
  LayerView view;
  view.name = node.name;
  view.algorithm = &winograd::algorithm(conv->m, conv->r, conv->stride);
  view.U = *U;
  const auto known = calibration.find(node.name);
  if (known != calibration.end()) {
    view.input_energy = known->second.input_energy;
    view.row_scores = known->second.row_scores;
    view.filter_scores = known->second.filter_scores;
  }
  view.output_scale = output_scale(graph, node, conv->mask.rows);
  return view;
}

Selection selection_of(const Mask& mask, Axis axis, const PruneConfig& config, double ratio) {
  Selection selection;
  selection.positions = mask.positions;
  selection.rows = mask.rows;
  selection.columns = mask.columns;
  selection.axis = axis;
  selection.ratio = ratio;
  const std::int64_t units = Mask{axis, 0, mask.rows, mask.columns, {}}.units();
  // A share like 0.1 is not exact in binary: do not let that cost a unit.
  const auto floor_of = [](double share, std::int64_t count) {
    return static_cast<std::int64_t>(std::ceil(share * static_cast<double>(count) - 1e-9));
  };
  selection.min_per_position = floor_of(config.min_position_share, units);
  selection.min_total = std::max<std::int64_t>(1, floor_of(config.min_layer_share, units * mask.positions));
  selection.round_to = config.round_to;
  return selection;
}

Axis axis_of(const PruneConfig& config) { return config.method == Method::wwp ? Axis::element : config.axis; }

/// The mask before this step, in units of `axis`.
Mask earlier_mask(const Mask& mask, Axis axis, const std::string& name) {
  if (mask.axis == axis) return mask;
  require(mask.kept_total() == static_cast<std::int64_t>(mask.keep.size()),
          "{}: an earlier step has pruned it in other units (rows, columns or elements)", name);
  return Mask::full(axis, mask.positions, mask.rows, mask.columns);
}

Mask choose_filters(const Selection& selection, const PruneConfig& config, const LayerView& view, const Mask& before) {
  std::vector<double> scores = score_filters(config.criterion, view);
  for (std::int64_t k = 0; k < before.rows; ++k) {
    bool any = false;
    for (int xi = 0; xi < before.positions; ++xi) any = any || before.kept(xi, k);
    if (!any) scores[static_cast<std::size_t>(k)] = kPruned;
  }
  return select_fp(selection, scores);
}

Mask choose_units(const Selection& selection, const PruneConfig& config, const LayerView& view, const Mask& before) {
  std::vector<double> scores = score_units(config.criterion, view, selection.axis);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (before.keep[i] == 0) scores[i] = kPruned;
  }
  if (config.method == Method::wwp) return select_wwp(selection, scores);
  return config.method == Method::wins_b ? select_wins_b(selection, scores) : select_wins(selection, scores);
}

Tensor masked(const Mask& mask, Tensor U) {
  const auto u = U.mutable_data<float>();
  for (int xi = 0; xi < mask.positions; ++xi) {
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      for (std::int64_t c = 0; c < mask.columns; ++c) {
        if (!mask.weight_kept(xi, k, c)) u[static_cast<std::size_t>((xi * mask.rows + k) * mask.columns + c)] = 0;
      }
    }
  }
  return U;
}

/// Tile of a Conv that becomes a Winograd layer.
int tile_of(const graph::Conv& conv, const PruneConfig& config, double ratio) {
  if (conv.window.stride[0] != 1) return 2;  // there is no other
  return config.m != 0 ? config.m : ratio > 0 ? 2 : 4;
}

}  // namespace

void prune_layer(graph::Graph& graph, const std::string& name, const PruneConfig& config,
                 const Calibration& calibration) {
  const double ratio = ratio_of(config, name);
  if (const auto* conv = graph::node_named(graph, name).as<graph::Conv>()) {
    graph::to_winograd(graph, name, tile_of(*conv, config, ratio));
  }
  if (ratio == 0) return;
  const graph::Node& node = graph::node_named(graph, name);
  const LayerView view = view_of(graph, node, calibration);
  const Mask before = earlier_mask(node.as<graph::WinogradConv>()->mask, axis_of(config), name);
  const Selection selection = selection_of(before, axis_of(config), config, ratio);
  Mask mask;
  try {
    mask = config.method == Method::fp ? choose_filters(selection, config, view, before)
                                       : choose_units(selection, config, view, before);
  } catch (const Error& error) {
    const std::string what = error.what();
    fail("{}", what.starts_with(name) ? what : name + ": " + what);
  }
  for (std::size_t i = 0; i < mask.keep.size(); ++i) mask.keep[i] &= before.keep[i];
  set_weights(graph, name, mask, masked(mask, view.U));
}

void check(const graph::Graph& graph, const PruneConfig& config) {
  chosen_layers(graph, config);
  chosen_column_layers(graph, config);
}

void prune(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration) {
  if (config.method == Method::wins_ab) {
    fail("method wins-ab chooses by measured times and accuracy: it needs decide_wins_ab");
  }
  const std::vector<std::string> layers = chosen_layers(graph, config);
  graph::Graph result = graph;
  for (const std::string& layer : layers) prune_layer(result, layer, config, calibration);
  prune_columns(result, config, calibration);
  graph::remove_unused(result);
  record_pruning(result, config, layers);
  graph = std::move(result);
}

}  // namespace wins::pruning
