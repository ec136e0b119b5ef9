#include "wins/refit/refit.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "blas.hpp"
#include "cpu_backend.hpp"
#include "layer_refit.hpp"
#include "memory.hpp"
#include "order.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/refit/backend.hpp"

namespace wins::refit {
namespace {

/// Whether a node computes the same in both networks.
bool same_node(const graph::Graph& a, const graph::Node& x, const graph::Graph& b, const graph::Node& y) {
  if (x.op.index() != y.op.index() || x.inputs.size() != y.inputs.size()) return false;
  for (std::size_t i = 0; i < x.inputs.size(); ++i) {
    const Tensor* p = a.constant_input(x, i);
    const Tensor* q = b.constant_input(y, i);
    if (p == nullptr && q == nullptr) continue;
    if (p == nullptr || q == nullptr || p->shape() != q->shape() || p->dtype() != q->dtype()) return false;
    if (p->bytes() != q->bytes() && !std::equal(p->bytes(), p->bytes() + p->byte_size(), q->bytes()))
      return false;
  }
  return true;
}

/// Walks both networks in step, layer by layer.
class Walk {
 public:
  Walk(Backend& backend, const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
       const RefitOptions& options)
      : options_(options),
        dense_graph_(shallow_branches_first(graph::specialize(dense, {batches.at(0).shape()}))),
        pruned_graph_(shallow_branches_first(graph::specialize(pruned, {batches.at(0).shape()}))),
        backend_(backend) {
    result_.graph = pruned;
    require(dense_graph_.nodes.size() == pruned_graph_.nodes.size(),
            "refit: the pruned network has {} nodes, the dense one {}: they do not match",
            pruned_graph_.nodes.size(), dense_graph_.nodes.size());
    for (std::size_t i = 0; i < dense_graph_.nodes.size(); ++i) {
      require(dense_graph_.nodes[i].name == pruned_graph_.nodes[i].name,
              "refit: node '{}' of the pruned network stands where the dense one has '{}'",
              pruned_graph_.nodes[i].name, dense_graph_.nodes[i].name);
    }
    backend_.start(dense_graph_, pruned_graph_, batches);
  }

  RefitResult run() {
    const std::size_t layers = static_cast<std::size_t>(
        std::count_if(pruned_graph_.nodes.begin(), pruned_graph_.nodes.end(), is_linear));
    std::size_t done = 0;
    for (std::size_t i = 0; i < pruned_graph_.nodes.size(); ++i) {
      const graph::Node node = pruned_graph_.nodes[i];
      if (is_linear(node)) {
        if (options_.progress) options_.progress(done, layers, node.name);
        visit_layer(i, node);
        ++done;
      } else if (node.as<graph::BatchNorm>() != nullptr && options_.recalibrate) {
        visit_batch_norm(i, node);
      }
    }
    if (options_.progress) options_.progress(done, layers, "");
    return std::move(result_);
  }

 private:
  void visit_layer(std::size_t i, const graph::Node& node) {
    if (same_ && same_node(dense_graph_, dense_graph_.nodes[i], pruned_graph_, node)) return;
    bring_to(i);
    backend_.advance(Side::dense, i + 1);
    LayerFit fit;
    fit.layer = node.name;
    if (const LayerFit* done = done_before(node.name)) {
      fit = *done;
      restore(node);
    } else {
      const std::optional<LinearLayer> layer = describe(pruned_graph_, node, fit.reason);
      if (layer && accepts(*layer, fit.reason)) fit_layer(*layer, i, fit);
    }
    backend_.advance(Side::pruned, i + 1);
    result_.layers.push_back(fit);
    if (options_.checkpoint && done_before(node.name) == nullptr) options_.checkpoint(result_);
  }

  const LayerFit* done_before(const std::string& layer) const {
    if (options_.resume == nullptr) return nullptr;
    const std::vector<LayerFit>& done = options_.resume->layers;
    const auto found = std::find_if(done.begin(), done.end(), [&](const LayerFit& fit) { return fit.layer == layer; });
    return found == done.end() ? nullptr : &*found;
  }

  /// Weights, bias and the mean of the batch norm behind, as an earlier call has left them.
  void restore(const graph::Node& node) {
    const std::string batch_norm = surroundings(pruned_graph_, node).batch_norm;
    for (graph::Graph* graph : {&pruned_graph_, &result_.graph}) {
      take_constants(*graph, node.name, {1, 2});
      if (!batch_norm.empty()) take_constants(*graph, batch_norm, {3});
    }
    if (!batch_norm.empty() && options_.recalibrate) settled_.insert(batch_norm);
  }

  void take_constants(graph::Graph& graph, const std::string& name, const std::vector<std::size_t>& inputs) const {
    const graph::Graph& from = options_.resume->graph;
    const graph::Node* saved = from.find_node(name);
    require(saved != nullptr, "refit: the saved state has no node '{}'", name);
    for (const std::size_t i : inputs) {
      const Tensor* value = saved->input(i) == graph::kNone ? nullptr : from.constant_input(*saved, i);
      if (value == nullptr) continue;
      graph::Node& node = graph::node_named(graph, name);
      if (i >= node.inputs.size()) node.inputs.resize(i + 1, graph::kNone);
      if (node.inputs[i] == graph::kNone) {
        node.inputs[i] = graph.add_constant(name + ".bias", *value);
      } else {
        graph::set_constant_input(graph, name, i, *value, name + ".refitted");
      }
    }
  }

  /// Both networks up to node i; the pruned one takes the dense one's activations while they are the same.
  void bring_to(std::size_t i) {
    if (backend_.position(Side::dense) < i) backend_.advance(Side::dense, i);
    if (same_) {
      backend_.adopt();
      same_ = false;
    }
    backend_.advance(Side::pruned, i);
  }

  bool accepts(const LinearLayer& layer, std::string& reason) const {
    if (!layer.pruned() && !options_.all_layers) reason = "not a pruned layer";
    if (layer.mask.kept_total() == 0) reason = "no weight is left";
    if (options_.memory_limit > 0 && statistics_bytes(layer) > options_.memory_limit / 2) {
      reason = fmt::format("its statistics need {:.1f} GB, more than half of the memory limit",
                           static_cast<double>(statistics_bytes(layer)) * 1e-9);
    }
    return reason.empty();
  }

  void fit_layer(const LinearLayer& layer, std::size_t i, LayerFit& fit) {
    const graph::Node node = pruned_graph_.nodes[i];
    LayerSite site{layer,
                   pruned_graph_.value(node.input(0)).name,
                   pruned_graph_.value(node.outputs.at(0)).name,
                   surroundings(dense_graph_, dense_graph_.nodes[i]),
                   surroundings(pruned_graph_, node),
                   options_.correct_residual,
                   bias_of(pruned_graph_, node, layer.K),
                   [&](const Tensor& weights) { store_weights(pruned_graph_, layer, weights); }};
    const std::string& other = site.pruned.other_branch;
    if (!other.empty() && !(backend_.has(Side::dense, other) && backend_.has(Side::pruned, other))) {
      site.dense.end_before_sum();
      site.pruned.end_before_sum();
    }
    const LayerSolution solution = refit_layer(site, *backend_.layer(site), options_, fit);
    for (graph::Graph* graph : {&pruned_graph_, &result_.graph}) {
      store_weights(*graph, layer, solution.weights);
      store_shift(*graph, node.name, site.pruned.batch_norm, solution.shift);
    }
  }

  /// The batch norm behind the layer takes the shift, or its bias does.
  void store_shift(graph::Graph& graph, const std::string& layer, const std::string& batch_norm,
                   const std::vector<double>& shift) {
    if (batch_norm.empty() || !options_.recalibrate) {
      add_to_bias(graph, layer, shift);
      return;
    }
    const graph::Node& node = graph::node_named(graph, batch_norm);
    Tensor mean = *graph.constant_input(node, 3);
    const auto m = mean.mutable_data<float>();
    for (std::size_t k = 0; k < m.size(); ++k) m[k] = static_cast<float>(static_cast<double>(m[k]) - shift[k]);
    graph::set_constant_input(graph, batch_norm, 3, mean, batch_norm + ".mean");
    settled_.insert(batch_norm);
  }

  /// A batch norm that does not stand behind a refitted layer: its statistics move by as much as the pruned
  /// network's activations moved from the dense one's. What the calibration pictures' own statistics differ
  /// from those of the training set cancels.
  void visit_batch_norm(std::size_t i, const graph::Node& node) {
    if (same_ || settled_.contains(node.name) || graph::batch_norm_scale(pruned_graph_, node).empty()) return;
    bring_to(i);
    const std::string input = pruned_graph_.value(node.input(0)).name;
    const ChannelStatistics want = backend_.statistics(Side::dense, input);
    const ChannelStatistics have = backend_.statistics(Side::pruned, input);
    const double epsilon = static_cast<double>(node.as<graph::BatchNorm>()->epsilon);
    Tensor mean = *pruned_graph_.constant_input(node, 3);
    Tensor variance = *pruned_graph_.constant_input(node, 4);
    const auto m = mean.mutable_data<float>(), v = variance.mutable_data<float>();
    for (std::size_t k = 0; k < m.size(); ++k) {
      const double ratio = (have.variance[k] + epsilon) / (want.variance[k] + epsilon);
      // The normalised mean stays what it was in the dense network, at the new deviation.
      m[k] = static_cast<float>(have.mean[k] - (want.mean[k] - static_cast<double>(m[k])) * std::sqrt(ratio));
      v[k] = static_cast<float>(std::max(0.0, (static_cast<double>(v[k]) + epsilon) * ratio - epsilon));
    }
    for (graph::Graph* target : {&pruned_graph_, &result_.graph}) {
      graph::set_constant_input(*target, node.name, 3, mean, node.name + ".mean");
      graph::set_constant_input(*target, node.name, 4, variance, node.name + ".variance");
    }
  }

  const RefitOptions& options_;
  const graph::Graph dense_graph_;
  graph::Graph pruned_graph_;
  Backend& backend_;
  bool same_ = true;               ///< no node that differs was met yet
  std::set<std::string> settled_;  ///< batch norms that took the shift of the layer before them
  RefitResult result_;
};

}  // namespace

RefitResult refit_with(Backend& backend, const graph::Graph& pruned, const graph::Graph& dense,
                       const std::vector<Tensor>& batches, const RefitOptions& options) {
  require(std::isfinite(options.ridge) && options.ridge > 0, "refit: ridge {} is not positive",
          options.ridge);
  require(options.activation_rounds >= 0, "refit: {} activation rounds", options.activation_rounds);
  require(options.max_iterations > 0, "refit: {} iterations", options.max_iterations);
  require(options.tiles_per_weight > 0, "refit: {} tiles for each weight", options.tiles_per_weight);
  const std::vector<Tensor> pictures = usable_pictures(pruned, batches, "refit", refit_fits(options));
  RefitResult result = Walk(backend, pruned, dense, pictures, options).run();
  for (const Tensor& batch : pictures) result.pictures += batch.dim(0);
  return result;
}

RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                  const RefitOptions& options) {
  const SingleThreadedBlas single;
  CpuBackend backend(options);
  return refit_with(backend, pruned, dense, batches, options);
}

}  // namespace wins::refit
