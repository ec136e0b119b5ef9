#include "allocation.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "curves_file.hpp"
#include "timing.hpp"
#include "wins/base/error.hpp"
#include "wins/base/table.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::cli {
namespace {

/// Where layers are timed when the ratio is still to be found.
constexpr double kSearchReference = 0.7;
/// Both networks are timed in turn, so many times.
constexpr int kTimingTurns = 3;

/// Multiply-adds of each Winograd layer as if nothing were pruned.
std::map<std::string, double> unpruned_multiplications(const graph::Graph& graph) {
  const graph::Graph concrete = graph::specialize(graph, input_shapes(graph, 1));
  std::map<std::string, double> result;
  for (const graph::NodeCost& node : graph::count_cost(concrete).nodes) {
    const auto* conv = concrete.find_node(node.node)->as<graph::WinogradConv>();
    if (conv == nullptr) continue;
    const double kept = 1 - conv->mask.pruning_ratio();
    result[node.node] = kept > 0 ? static_cast<double>(node.macs) / kept : 0;
  }
  return result;
}

const winograd::Mask& mask_of(const graph::Graph& graph, const std::string& layer) {
  return graph.find_node(layer)->as<graph::WinogradConv>()->mask;
}

/// A copy of the network with `layers` at the tile sizes that they have in `pruned`, nothing pruned.
graph::Graph unpruned(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<std::string>& layers) {
  graph::Graph result = dense;
  for (const std::string& layer : layers) {
    if (dense.find_node(layer)->as<graph::Conv>() == nullptr) continue;
    graph::to_winograd(result, layer, pruned.find_node(layer)->as<graph::WinogradConv>()->m);
  }
  return result;
}

/// Microseconds that each layer saves from `before` to `after`, scaled to all of its weights.
std::map<std::string, double> time_saved(const graph::Graph& before, const graph::Graph& after,
                                         const std::vector<std::string>& layers, const PruneJob& job) {
  const std::vector<Shape> shapes = input_shapes(before, job.timing_batch);
  std::map<std::string, std::vector<double>> times[2];
  for (int turn = 0; turn < kTimingTurns; ++turn) {
    for (const bool second : {false, true}) {
      const auto measured = measure_layers(second ? after : before, job.session, shapes, job.timing_rounds);
      for (const auto& [layer, us] : measured) times[second ? 1 : 0][layer].push_back(us);
    }
  }
  std::map<std::string, double> result;
  for (const std::string& layer : layers) {
    const double pruned = mask_of(after, layer).pruning_ratio() - mask_of(before, layer).pruning_ratio();
    const double saved = median(times[0][layer]) - median(times[1][layer]);
    result[layer] = pruned > 0 ? std::max(0.0, saved / pruned) : 0;
  }
  return result;
}

/// Prunes `dense` as the job says, but with these ratios; WINS-AB starts from WINS masks.
refit::PruneAt pruner(const graph::Graph& dense, const PruneJob& job) {
  return [&dense, &job](const std::map<std::string, double>& ratios) {
    pruning::PruneConfig config = job.config;
    if (config.method == pruning::Method::wins_ab) config.method = pruning::Method::wins;
    for (const auto& [layer, ratio] : ratios) config.layer_ratio[layer] = ratio;
    graph::Graph pruned = dense;
    pruning::prune(pruned, config, job.calibration);
    return pruned;
  };
}

}  // namespace

Allocator::Allocator(const graph::Graph& dense, const PruneJob& job, const PruneFlags& flags)
    : kind_(flags.allocate),
      bounds_{0, flags.max_ratio.value_or(kMaxRatio)},
      reference_(std::clamp(flags.max_loss ? kSearchReference : job.config.ratio, 0.5, 0.9)),
      fixed_(job.config.layer_ratio) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string>& excluded = job.config.exclude;
  for (const std::string& layer : pruning::prunable_layers(dense, nullptr, job.config.strided)) {
    const bool out = std::find(excluded.begin(), excluded.end(), layer) != excluded.end();
    if (!out && !fixed_.contains(layer)) layers_.push_back(layer);
  }
  require(!layers_.empty(), "--allocate: no layer is left to choose a ratio for");
  curves_ = flags.curves.empty() ? measure(dense, job)
                                 : read_curves(flags.curves, {job.config.method, job.config.criterion}, layers_);
  measure_costs(dense, job);
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<refit::LayerCurve> Allocator::measure(const graph::Graph& dense, const PruneJob& job) const {
  refit::RefitOptions options = *job.refit;
  options.progress = layer_progress("error curves");
  refit::CurveOptions curve_options;
  for (auto* ratios : {&curve_options.ratios, &curve_options.references}) {
    std::erase_if(*ratios, [this](double ratio) { return ratio >= bounds_.ceiling; });
  }
  curve_options.ratios.push_back(bounds_.ceiling);
  if (curve_options.references.empty()) curve_options.references.push_back(bounds_.ceiling);
  curve_options.refit = [&job](const graph::Graph& pruned, const graph::Graph& network,
                               const std::vector<Tensor>& batches, const refit::RefitOptions& how) {
    return refit_on_device(pruned, network, batches, how, job).graph;
  };
  return refit::measure_curves(dense, layers_, pruner(dense, job), job.pictures, options, curve_options);
}

void Allocator::measure_costs(const graph::Graph& dense, const PruneJob& job) {
  std::map<std::string, double> ratios;
  for (const std::string& layer : layers_) ratios[layer] = reference_;
  const graph::Graph after = pruner(dense, job)(ratios);
  const graph::Graph before = unpruned(dense, after, layers_);
  cost_ = kind_ == "time" ? time_saved(before, after, layers_, job) : unpruned_multiplications(before);
  require(largest() > 0, "--allocate {}: pruning saves nothing in any layer that has an error curve", kind_);
}

void Allocator::apply(double ratio, pruning::PruneConfig& config) const {
  config.ratio = ratio;  // of layers without a curve
  config.layer_ratio = fixed_;
  for (const refit::LayerShare& share : refit::allocate(curves_, cost_, ratio, bounds_)) {
    config.layer_ratio[share.layer] = share.ratio;
  }
}

double Allocator::largest() const { return refit::largest_ratio(curves_, cost_, bounds_); }

std::string Allocator::table(double ratio) const {
  Table table({"layer", "output error %", "sensitivity", "ratio %", "note"});
  for (const refit::LayerShare& share : refit::allocate(curves_, cost_, ratio, bounds_)) {
    table.add({share.layer, fmt::format("{:.2f}", std::sqrt(share.point.squared_error) * 100),
               fmt::format("{:.4f}", share.sensitivity()), fmt::format("{:.2f}", share.ratio * 100),
               share.cost > 0 ? "" : "pruning it saves nothing"});
  }
  for (const refit::LayerCurve& curve : curves_) {
    if (!curve.reason.empty()) table.add({curve.layer, "", "", fmt::format("{:.2f}", ratio * 100), curve.reason});
  }
  return fmt::format("ratios by {} (error curves and sensitivities: {:.1f} s)\n{}", kind_, seconds_, table.text());
}

Json Allocator::to_json(double ratio) const {
  Json record{{"cost", kind_}, {"ratio", ratio}, {"max_ratio", bounds_.ceiling}, {"seconds", seconds_},
              {"layers", Json::array()}, {"curves", cli::to_json(curves_)}};
  for (const refit::LayerShare& share : refit::allocate(curves_, cost_, ratio, bounds_)) {
    record["layers"].push_back({{"layer", share.layer},
                                {"ratio", share.ratio},
                                {"error", std::sqrt(share.point.squared_error)},
                                {"damage", share.point.damage},
                                {"sensitivity", share.sensitivity()},
                                {"cost", share.cost}});
  }
  for (const refit::LayerCurve& curve : curves_) {
    if (!curve.reason.empty()) {
      record["layers"].push_back({{"layer", curve.layer}, {"ratio", ratio}, {"reason", curve.reason}});
    }
  }
  return record;
}

double pruned_multiplications(const graph::Graph& graph) {
  double all = 0, pruned = 0;
  for (const auto& [layer, multiplications] : unpruned_multiplications(graph)) {
    all += multiplications;
    pruned += multiplications * mask_of(graph, layer).pruning_ratio();
  }
  return all > 0 ? pruned / all : 0;
}

}  // namespace wins::cli
