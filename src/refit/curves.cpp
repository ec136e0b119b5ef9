// Error curves and sensitivities: one walk over the dense network.
#include <algorithm>
#include <cmath>
#include <optional>

#include "blas.hpp"
#include "cpu_backend.hpp"
#include "layer_model.hpp"
#include "memory.hpp"
#include "moments.hpp"
#include "statistics.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/refit/allocation.hpp"
#include "wins/refit/linear_layer.hpp"

namespace wins::refit {
namespace {

/// How one layer is pruned at each ratio of the grid.
struct MaskAt {
  double ratio;
  winograd::Mask mask;
};
struct Tiling {
  int m = 0;
  std::vector<MaskAt> masks;
};

/// Sampled tiles for each weight in the refits that measure the sensitivity.
constexpr double kFollowUpTiles = 4;

/// Number of batches that hold `pictures` pictures.
std::size_t batches_for(const std::vector<Tensor>& batches, std::int64_t pictures) {
  const std::int64_t each = batches.at(0).dim(0);
  return std::min(batches.size(), static_cast<std::size_t>((pictures + each - 1) / each));
}

std::vector<Tensor> first(const std::vector<Tensor>& batches, std::size_t count) {
  return {batches.begin(), batches.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// The last batches judge; the first ones are fitted to, without those that judge where there are others. The curves
/// take the first ones.
struct Pictures {
  Pictures(const std::vector<Tensor>& batches, const CurveOptions& options) {
    const std::size_t judges = batches_for(batches, options.pictures);
    judging.assign(batches.end() - static_cast<std::ptrdiff_t>(judges), batches.end());
    const std::size_t others = judges < batches.size() ? batches.size() - judges : batches.size();
    fitting = first(batches, std::min(others, batches_for(batches, options.refit_pictures)));
    curves = first(batches, batches_for(batches, options.curve_pictures));
  }
  std::vector<Tensor> fitting, judging, curves;
};

/// All ratios at which layers are refitted, rising.
std::vector<double> grid_of(const CurveOptions& options) {
  std::vector<double> grid = options.ratios;
  grid.insert(grid.end(), options.references.begin(), options.references.end());
  std::sort(grid.begin(), grid.end());
  grid.erase(std::unique(grid.begin(), grid.end()), grid.end());
  return grid;
}

/// Masks alone are kept: the networks themselves would take their weights once for each ratio.
std::map<std::string, Tiling> masks_of(const std::vector<std::string>& layers, const PruneAt& prune,
                                       const std::vector<double>& grid) {
  std::map<std::string, Tiling> result;
  for (const double ratio : grid) {
    std::map<std::string, double> ratios;
    for (const std::string& layer : layers) ratios[layer] = ratio;
    const graph::Graph pruned = prune(ratios);
    for (const std::string& layer : layers) {
      const graph::Node* node = pruned.find_node(layer);
      const auto* conv = node == nullptr ? nullptr : node->as<graph::WinogradConv>();
      require(conv != nullptr, "allocation: {} is no Winograd layer of the pruned network", layer);
      result[layer].m = conv->m;
      result[layer].masks.push_back({ratio, conv->mask});
    }
  }
  return result;
}

/// What the mask prunes: the ratio asked for where only rounding to whole units (of all positions at once, in
/// masks that keep the same number in each) keeps it from that, else what floors have left.
double reached(const MaskAt& at) {
  bool even = true;
  for (int xi = 1; xi < at.mask.positions; ++xi) even = even && at.mask.kept_in(xi) == at.mask.kept_in(0);
  const double ratio = at.mask.pruning_ratio();
  const auto steps = static_cast<double>(at.mask.units() * (even ? 1 : at.mask.positions));
  return std::abs(ratio - at.ratio) * steps <= 0.5 + 1e-9 ? at.ratio : ratio;
}

/// The sensitivity at one ratio.
struct Reference {
  double ratio, value;
};

/// Linear between references, constant outside; 0 without any.
double sensitivity(const std::vector<Reference>& references, double ratio) {
  for (std::size_t i = 0; i < references.size(); ++i) {
    const Reference& above = references[i];
    if (above.ratio < ratio) continue;
    if (i == 0) return above.value;
    const Reference& below = references[i - 1];
    return std::lerp(below.value, above.value, (ratio - below.ratio) / (above.ratio - below.ratio));
  }
  return references.empty() ? 0 : references.back().value;
}

class CurveWalk {
 public:
  CurveWalk(const graph::Graph& dense, const std::vector<Tensor>& batches, const RefitOptions& refit,
            const CurveOptions& options)
      : refit_(refit),
        options_(options),
        threads_(refit.threads > 0 ? refit.threads : default_threads()),
        graph_(graph::specialize(dense, {batches.at(0).shape()})),
        pictures_(batches, options),
        open_(open_sessions(refit.engine, threads_)),
        all_(graph_, pictures_.curves, open_) {
    for (const auto& [name, activations] : outputs_of(graph_)) {
      if (activations.at(0).dtype() == DType::f32 && activations.at(0).rank() >= 2) outputs_[name] = activations;
    }
    require(!outputs_.empty(), "allocation: the network has no float32 output of [N, channels, ...]");
  }

  std::vector<LayerCurve> run(const std::map<std::string, Tiling>& tilings) {
    std::vector<LayerCurve> curves;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const auto tiling = tilings.find(graph_.nodes[i].name);
      if (tiling == tilings.end()) continue;
      if (refit_.progress) refit_.progress(curves.size(), tilings.size(), tiling->first);
      curves.push_back(curve_of(i, tiling->second));
    }
    if (refit_.progress) refit_.progress(curves.size(), tilings.size(), "");
    return curves;
  }

 private:
  LayerCurve curve_of(std::size_t i, const Tiling& tiling) {
    LayerCurve curve;
    const std::string name = graph_.nodes[i].name;
    curve.layer = name;
    graph::Graph winograd = graph_;
    if (graph_.nodes[i].as<graph::Conv>() != nullptr) graph::to_winograd(winograd, name, tiling.m);
    const std::optional<LinearLayer> layer =
        describe(winograd, graph::node_named(winograd, name), curve.reason);
    if (!layer || !fits(*layer, curve.reason)) return curve;

    all_.advance(i);
    const LayerModel model(*layer, all_.at(graph_.value(graph_.nodes[i].input(0)).name),
                           *graph_.value(graph_.nodes[i].outputs.at(0)).shape, refit_);
    if (!(model.variance() > 0)) {
      curve.reason = "its inputs or outputs do not vary";
      return curve;
    }
    curve.points.push_back({layer->mask.pruning_ratio(), 0, 0});
    std::vector<Reference> references;
    for (const MaskAt& at : tiling.masks) {
      // Floors may stop several ratios of the grid at the same mask.
      if (reached(at) <= curve.points.back().ratio) continue;
      const LayerModel::Fitted fitted = model.fit(at.mask, options_.max_iterations);
      curve.points.push_back({reached(at), fitted.squared_error, 0});
      if (is_reference(at.ratio) && fitted.squared_error > 0) {
        const double unit = damage(winograd, *layer, at.mask) / fitted.squared_error;
        references.push_back({reached(at), unit});
      }
    }
    for (CurvePoint& point : curve.points)
      point.damage = point.squared_error * sensitivity(references, point.ratio);
    return curve;
  }

  bool is_reference(double ratio) const {
    return std::find(options_.references.begin(), options_.references.end(), ratio) !=
           options_.references.end();
  }

  bool fits(const LinearLayer& layer, std::string& reason) const {
    LinearLayer full = layer;
    full.mask = winograd::Mask::full(winograd::Axis::row, layer.positions, layer.K, layer.C);
    const std::size_t bytes = Moments::bytes(full);
    if (refit_.memory_limit > 0 && bytes > refit_.memory_limit) {
      reason = fmt::format("its statistics need {:.1f} GB, more than the memory limit",
                           static_cast<double>(bytes) * 1e-9);
    }
    return reason.empty();
  }

  std::map<std::string, Activations> outputs_of(const graph::Graph& graph) const {
    Frontier<Tensor> whole(graph, pictures_.judging, open_);
    whole.advance(graph.nodes.size());
    std::map<std::string, Activations> result;
    for (const graph::ValueId id : graph.outputs) result[graph.value(id).name] = whole.at(graph.value(id).name);
    return result;
  }

  /// Squared relative error of the network's outputs with this layer alone pruned, when it and all layers
  /// behind it have been refitted: what they cannot make up for.
  double damage(const graph::Graph& winograd, const LinearLayer& layer, const winograd::Mask& mask) const {
    graph::Graph variant = winograd;
    graph::node_named(variant, layer.name).as<graph::WinogradConv>()->mask = mask;
    store_weights(variant, layer, under_mask(layer, mask).weights);
    RefitOptions options = refit_;
    options.progress = nullptr;
    options.activation_rounds = 0;
    options.max_iterations = options_.follow_up_iterations;
    options.tiles_per_weight = std::min(options.tiles_per_weight, kFollowUpTiles);
    const graph::Graph refitted = options_.refit ? options_.refit(variant, graph_, pictures_.fitting, options)
                                                 : refit(variant, graph_, pictures_.fitting, options).graph;
    const std::map<std::string, Activations> have = outputs_of(refitted);
    double sum = 0;
    for (const auto& [name, want] : outputs_) sum += centred_squared_error(have.at(name), want, threads_);
    require(std::isfinite(sum), "allocation: the network's output is not finite with {} pruned", layer.name);
    return sum / static_cast<double>(outputs_.size());
  }

  const RefitOptions& refit_;
  const CurveOptions& options_;
  const int threads_;
  const graph::Graph graph_;
  const Pictures pictures_;  ///< by purpose
  const Frontier<Tensor>::Open open_;
  Frontier<Tensor> all_;
  std::map<std::string, Activations> outputs_;  ///< of the dense network, for the judging pictures
};

}  // namespace

std::vector<LayerCurve> measure_curves(const graph::Graph& dense, const std::vector<std::string>& layers,
                                       const PruneAt& prune, const std::vector<Tensor>& batches,
                                       const RefitOptions& refit, const CurveOptions& options) {
  for (const double ratio : grid_of(options)) {
    require(ratio > 0 && ratio < 1, "allocation: ratio {} of the grid is outside (0, 1)", ratio);
  }
  require(!options.references.empty(), "allocation: no ratio at which to measure the sensitivity");
  require(options.max_iterations > 0, "allocation: {} iterations", options.max_iterations);
  for (const std::string& layer : layers) {
    require(dense.find_node(layer) != nullptr, "allocation: the network has no layer {}", layer);
  }
  const std::vector<Tensor> pictures = usable_pictures(dense, batches, "allocation", refit_fits(refit));
  const std::map<std::string, Tiling> masks = masks_of(layers, prune, grid_of(options));
  const SingleThreadedBlas single;
  return CurveWalk(dense, pictures, refit, options).run(masks);
}

}  // namespace wins::refit
