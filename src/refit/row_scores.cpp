#include "wins/refit/row_scores.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "blas.hpp"
#include "cpu_backend.hpp"
#include "memory.hpp"
#include "moments.hpp"
#include "scores.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/refit/surroundings.hpp"

namespace wins::refit {
namespace {

bool is_winograd(const graph::Node& node) {
  return node.as<graph::WinogradConv>() != nullptr;
}

double gigabytes(std::size_t bytes) {
  return static_cast<double>(bytes) * 1e-9;
}

/// The layer of a node as rows, or nothing and the reason.
std::optional<LinearLayer> rows_of(const graph::Graph& graph, const graph::Node& node, std::string& reason) {
  std::optional<LinearLayer> layer = describe(graph, node, reason);
  if (!layer) return layer;
  winograd::Mask& mask = layer->mask;
  const bool full = mask.kept_total() == static_cast<std::int64_t>(mask.keep.size());
  if (mask.axis != winograd::Axis::row && !full) {
    reason = "it is pruned in other units than rows";
    return std::nullopt;
  }
  if (full) mask = winograd::Mask::full(winograd::Axis::row, mask.positions, mask.rows, mask.columns);
  return layer;
}

/// Walks the network once, layer by layer.
class ScoreWalk {
 public:
  ScoreWalk(RowScore kind, const graph::Graph& graph, const std::vector<Tensor>& batches,
            const RowScoreOptions& options)
      : kind_(kind),
        options_(options),
        threads_(options.threads > 0 ? options.threads : default_threads()),
        graph_(graph::specialize(graph, {batches.at(0).shape()})),
        frontier_(graph_, batches, open_sessions("cpu", threads_)) {}

  std::map<std::string, LayerScores> run() {
    std::map<std::string, LayerScores> result;
    const auto layers =
        static_cast<std::size_t>(std::count_if(graph_.nodes.begin(), graph_.nodes.end(), is_winograd));
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const graph::Node& node = graph_.nodes[i];
      if (!is_winograd(node)) continue;
      if (options_.progress) options_.progress(result.size(), layers, node.name);
      result[node.name] = score_layer(i, node);
    }
    if (options_.progress) options_.progress(layers, layers, "");
    return result;
  }

 private:
  LayerScores score_layer(std::size_t i, const graph::Node& node) {
    LayerScores scores;
    const std::optional<LinearLayer> layer = rows_of(graph_, node, scores.note);
    if (!layer) return scores;
    const std::size_t bytes = Moments::bytes(*layer);
    const std::size_t limit = options_.memory_limit;
    require(limit == 0 || bytes <= limit,
            "{}: second moments of its input need {:.1f} GB, more than the memory limit of {:.1f} GB",
            node.name, gigabytes(bytes), gigabytes(limit));
    const Moments moments = gather(i, node, *layer);
    std::vector<double> weight = surroundings(graph_, node).scale;
    for (double& factor : weight) factor *= factor;

    const auto covariances = row_covariances(*layer, moments, threads_);
    scores.filters = filter_scores(node.name, covariances, weight);
    if (kind_ == RowScore::obs) {
      const std::size_t wanted = bytes + obs_bytes(*layer);
      if (limit > 0 && wanted > limit) {
        scores.note =
            fmt::format("obs needs {:.1f} GB, more than the memory limit: scored by gram", gigabytes(wanted));
      } else if (auto rows = obs_scores(*layer, moments, weight, options_.obs_ridge, threads_)) {
        scores.rows = std::move(*rows);
        return scores;
      } else {
        scores.note = "its second moments are not positive definite: scored by gram instead of obs";
      }
    }
    scores.rows = gram_scores(*layer, covariances, weight, options_.gram_ridge, threads_);
    return scores;
  }

  Moments gather(std::size_t i, const graph::Node& node, const LinearLayer& layer) {
    frontier_.advance(i);
    const Activations& x = frontier_.at(graph_.value(node.input(0)).name);
    RefitOptions sampling;
    sampling.tiles_per_weight = options_.tiles_per_weight;
    Moments moments(layer, threads_);
    moments.gather(x, sample_tiles(layer, *graph_.value(node.outputs.at(0)).shape, x.size(),
                                   wanted_tiles(layer, sampling), options_.seed), {});
    return moments;
  }

  /// The variance of each output channel: 1^T S_k 1.
  static Tensor filter_scores(const std::string& name, const std::vector<std::vector<double>>& covariances,
                              const std::vector<double>& weight) {
    Tensor result(DType::f64, {static_cast<std::int64_t>(covariances.size())});
    const auto values = result.mutable_data<double>();
    for (std::size_t k = 0; k < covariances.size(); ++k) {
      double sum = 0;
      for (const double value : covariances[k]) sum += value;
      require(std::isfinite(sum) && std::isfinite(weight[k]),
              "{}: channel {} has a weight or activation that is NaN or infinite", name, k);
      values[k] = std::max(0.0, sum) * weight[k];
    }
    return result;
  }

  const RowScore kind_;
  const RowScoreOptions& options_;
  const int threads_;
  const graph::Graph graph_;
  Frontier<Tensor> frontier_;
};

}  // namespace

std::map<std::string, LayerScores> row_scores(RowScore kind, const graph::Graph& graph,
                                              const std::vector<Tensor>& batches,
                                              const RowScoreOptions& options) {
  for (const double ridge : {options.obs_ridge, options.gram_ridge})
    require(std::isfinite(ridge) && ridge > 0, "row scores: ridge {} is not positive", ridge);
  require(options.tiles_per_weight > 0, "row scores: {} tiles for each weight", options.tiles_per_weight);
  const std::vector<Tensor> pictures = usable_pictures(graph, batches, "choice of rows", [&](const graph::Graph& network) {
    const std::size_t each = walk_bytes(network, is_winograd);
    return [&, each](std::size_t count) { return options.memory_limit == 0 || count * each <= options.memory_limit; };
  });
  const SingleThreadedBlas single;
  return ScoreWalk(kind, graph, pictures, options).run();
}

}  // namespace wins::refit
