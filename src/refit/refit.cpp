#include "wins/refit/refit.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "blas.hpp"
#include "frontier.hpp"
#include "linear_layer.hpp"
#include "moments.hpp"
#include "pictures.hpp"
#include "solver.hpp"
#include "statistics.hpp"
#include "surroundings.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/graph/edit.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::refit {
namespace {

bool is_linear(const graph::Node& node) {
  return node.as<graph::Conv>() != nullptr || node.as<graph::WinogradConv>() != nullptr ||
         node.as<graph::Gemm>() != nullptr;
}

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
  Walk(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
       const RefitOptions& options)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : default_threads()),
        dense_graph_(graph::specialize(dense, {batches.at(0).shape()})),
        pruned_graph_(graph::specialize(pruned, {batches.at(0).shape()})),
        dense_(dense_graph_, batches, threads_),
        pruned_(pruned_graph_, batches, threads_) {
    result_.graph = pruned;
    require(dense_graph_.nodes.size() == pruned_graph_.nodes.size(),
            "refit: the pruned network has {} nodes, the dense one {}: they do not match",
            pruned_graph_.nodes.size(), dense_graph_.nodes.size());
    for (std::size_t i = 0; i < dense_graph_.nodes.size(); ++i) {
      require(dense_graph_.nodes[i].name == pruned_graph_.nodes[i].name,
              "refit: node '{}' of the pruned network stands where the dense one has '{}'",
              pruned_graph_.nodes[i].name, dense_graph_.nodes[i].name);
    }
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
    dense_.advance(i + 1);
    LayerFit fit;
    fit.layer = node.name;
    const std::optional<LinearLayer> layer = describe(pruned_graph_, node, fit.reason);
    if (layer && accepts(*layer, fit.reason)) fit_layer(*layer, node, fit);
    if (pruned_.position() == i) pruned_.advance(i + 1);
    result_.layers.push_back(fit);
  }

  /// Both networks up to node i; the pruned one takes the dense one's activations while they are the same.
  void bring_to(std::size_t i) {
    if (same_) {
      dense_.advance(i);
      pruned_.adopt(dense_);
      same_ = false;
    } else {
      pruned_.advance(i);
      if (dense_.position() < i) dense_.advance(i);
    }
  }

  bool accepts(const LinearLayer& layer, std::string& reason) const {
    if (layer.algorithm == nullptr && !options_.all_layers) reason = "not a Winograd layer";
    if (layer.mask.kept_total() == 0) reason = "no weight is left";
    const std::size_t bytes = Moments::bytes(layer);
    if (options_.memory_limit > 0 && bytes > options_.memory_limit) {
      reason = fmt::format("its statistics need {:.1f} GB, more than the memory limit",
                           static_cast<double>(bytes) * 1e-9);
    }
    return reason.empty();
  }

  void fit_layer(const LinearLayer& layer, const graph::Node& node, LayerFit& fit) {
    const Surroundings around = surroundings(pruned_graph_, node);
    const std::string output = pruned_graph_.value(node.outputs.at(0)).name;
    const Activations target = target_of(dense_.at(output), around);
    const OutputError before = error_of(layer, target);
    fit.error_before = before.relative();

    const Solution solution =
        solve_layer(layer, pruned_.at(pruned_graph_.value(node.input(0)).name), target, fit);
    if (!solution.solved) fit.reason = "its inputs or outputs do not vary";
    fit.refitted = solution.solved;
    fit.iterations = solution.iterations;
    Tensor weights = solution.weights;
    OutputError after = before;
    if (solution.solved) {
      store_weights(pruned_graph_, layer, weights);
      after = error_of(layer, target);
      if (keep_better(layer, before, after, weights)) {
        store_weights(pruned_graph_, layer, weights);
        after = error_of(layer, target);
      }
      store_weights(result_.graph, layer, weights);
    }
    fit.error_after = after.relative();
    settle_mean(node, around, after, target);
  }

  /// What the layer should give: the dense network's output, plus what the other branch of a residual add
  /// lacks.
  Activations target_of(const Activations& dense, const Surroundings& around) const {
    const std::string& other = around.other_branch;
    if (!options_.correct_residual || other.empty() || !pruned_.has(other) || !dense_.has(other))
      return dense;
    Activations target = dense;
    const Activations& have = pruned_.at(other);
    const Activations& want = dense_.at(other);
    for (std::size_t b = 0; b < target.size(); ++b) {
      const std::int64_t K = target[b].dim(1);
      const std::int64_t pixels = target[b].size() / (target[b].dim(0) * K);
      const auto t = target[b].mutable_data<float>();
      const auto h = have[b].data<float>(), w = want[b].data<float>();
      parallel_for(target[b].dim(0) * K, threads_, [&](std::int64_t plane, int) {
        const double scale = around.scale[static_cast<std::size_t>(plane % K)];
        if (std::abs(scale) < 1e-12) return;  // a channel that batch norm switches off
        for (auto i = static_cast<std::size_t>(plane * pixels);
             i < static_cast<std::size_t>((plane + 1) * pixels); ++i) {
          t[i] += static_cast<float>((static_cast<double>(w[i]) - static_cast<double>(h[i])) / scale);
        }
      });
    }
    return target;
  }

  /// Of the node at the cut, with the weights that it has now.
  OutputError error_of(const LinearLayer& layer, const Activations& target) const {
    OutputError error(layer.K);
    pruned_.evaluate([&](std::size_t batch, const Tensor& output) { error.add(output, target[batch]); });
    return error;
  }

  Solution solve_layer(const LinearLayer& layer, const Activations& x, const Activations& target,
                       LayerFit& fit) const {
    int alive = 0;
    for (int xi = 0; xi < layer.positions; ++xi) alive += layer.alive(xi) ? 1 : 0;
    const double wanted =
        options_.tiles_per_weight * static_cast<double>(alive) * static_cast<double>(layer.C);
    const auto classes =
        sample_tiles(layer, target, static_cast<std::int64_t>(std::min(wanted, 1e9)) + 1, options_.seed);
    for (const TileClass& kind : classes) fit.tiles += static_cast<std::int64_t>(kind.tiles.size());
    Moments moments(layer, threads_);
    moments.add(x, target, classes);
    moments.finish();
    return solve(layer, moments, options_.ridge, options_.max_iterations, options_.tolerance, threads_);
  }

  /// The sampled tiles are not all of them: a channel whose error rose keeps its old weights.
  static bool keep_better(const LinearLayer& layer, const OutputError& before, const OutputError& after,
                          Tensor& weights) {
    const std::vector<double> old_error = before.squared(), new_error = after.squared();
    const auto w = weights.mutable_data<float>();
    const auto old = layer.weights.data<float>();
    bool any = false;
    for (std::int64_t k = 0; k < layer.K; ++k) {
      const auto at = static_cast<std::size_t>(k);
      if (new_error[at] <= old_error[at]) continue;
      any = true;
      for (std::int64_t xi = 0; xi < layer.positions; ++xi) {
        const auto first = static_cast<std::ptrdiff_t>((xi * layer.K + k) * layer.C);
        std::copy_n(old.begin() + first, layer.C, w.begin() + first);
      }
    }
    return any;
  }

  /// The bias, or the batch norm behind it, takes what is left of the mean.
  void settle_mean(const graph::Node& node, const Surroundings& around, const OutputError& error,
                   const Activations& target) {
    if (!around.batch_norm.empty() && options_.recalibrate) {
      target_statistics_[around.batch_norm] = channel_statistics(target, threads_);
      return;
    }
    const std::vector<double> shift = error.shift();
    add_to_bias(pruned_graph_, node.name, shift);
    add_to_bias(result_.graph, node.name, shift);
  }

  /// The statistics move by as much as the pruned network's activations moved from the dense one's (or,
  /// behind a refitted layer, from its target): what the calibration pictures' own statistics differ from
  /// those of the training set cancels.
  void visit_batch_norm(std::size_t i, const graph::Node& node) {
    if (same_ || graph::batch_norm_scale(pruned_graph_, node).empty()) return;
    bring_to(i);
    const std::string input = pruned_graph_.value(node.input(0)).name;
    const auto known = target_statistics_.find(node.name);
    const ChannelStatistics want =
        known != target_statistics_.end() ? known->second : channel_statistics(dense_.at(input), threads_);
    const ChannelStatistics have = channel_statistics(pruned_.at(input), threads_);
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
  const int threads_;
  const graph::Graph dense_graph_;
  graph::Graph pruned_graph_;
  Frontier dense_, pruned_;
  bool same_ = true;                                            ///< no node that differs was met yet
  std::map<std::string, ChannelStatistics> target_statistics_;  ///< by batch norm
  RefitResult result_;
};

}  // namespace

RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                  const RefitOptions& options) {
  require(std::isfinite(options.ridge) && options.ridge > 0, "refit: ridge {} is not positive",
          options.ridge);
  require(options.max_iterations > 0, "refit: {} iterations", options.max_iterations);
  require(options.tiles_per_weight > 0, "refit: {} tiles for each weight", options.tiles_per_weight);
  const std::vector<Tensor> pictures = usable_pictures(dense, batches, options.memory_limit);
  const SingleThreadedBlas single;
  RefitResult result = Walk(pruned, dense, pictures, options).run();
  for (const Tensor& batch : pictures) result.pictures += batch.dim(0);
  return result;
}

}  // namespace wins::refit
