#include "memory.hpp"

#include <algorithm>
#include <cmath>

#include "moments.hpp"
#include "order.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/refit/backend.hpp"
#include "wins/refit/cut.hpp"

namespace wins::refit {
namespace {

// Residuals, directions, images of the conjugate gradients, old and new weights.
constexpr std::size_t kVectors = 10;

/// Bytes for a number of pictures.
class Needs {
 public:
  Needs(const graph::Graph& graph, const RefitOptions& options)
      : batch_(graph.value(graph.inputs[0]).shape->at(0)), activations_(walk_bytes(graph, is_linear)) {
    for (const graph::Node& node : graph.nodes) {
      std::string reason;
      const std::optional<LinearLayer> layer = is_linear(node) ? describe(graph, node, reason) : std::nullopt;
      if (!layer || statistics_bytes(*layer) > options.memory_limit / 2) continue;
      const Shape& output = *graph.value(node.outputs.at(0)).shape;
      const std::int64_t H = output.size() > 2 ? output[2] : 1, W = output.size() > 3 ? output[3] : 1;
      layers_.push_back({statistics_bytes(*layer), static_cast<std::size_t>(layer->m * layer->m * layer->K) * sizeof(float),
                         winograd::tile_grid(layer->m, H, W).count(), wanted_tiles(*layer, options)});
    }
  }

  /// Both networks' activations, and the layer that needs most.
  std::size_t bytes(std::size_t batches) const {
    const std::int64_t pictures = static_cast<std::int64_t>(batches) * batch_;
    std::size_t most = 0;
    for (const Layer& layer : layers_) {
      const std::int64_t tiles = std::min(pictures * layer.grid, layer.wanted + pictures);
      most = std::max(most, layer.statistics + static_cast<std::size_t>(tiles) * layer.tile);
    }
    return most + batches * activations_;
  }

 private:
  struct Layer {
    std::size_t statistics, tile;  ///< bytes; `tile`: the targets of one
    std::int64_t grid, wanted;     ///< tiles of a picture, and those to sample in all
  };
  std::int64_t batch_;
  std::size_t activations_;
  std::vector<Layer> layers_;
};

}  // namespace

std::int64_t wanted_tiles(const LinearLayer& layer, const RefitOptions& options) {
  int alive = 0;
  for (int xi = 0; xi < layer.positions; ++xi) alive += layer.alive(xi) ? 1 : 0;
  const double wanted = options.tiles_per_weight * static_cast<double>(alive) * static_cast<double>(layer.C);
  return static_cast<std::int64_t>(std::min(wanted, 1e9)) + 1;
}

std::size_t statistics_bytes(const LinearLayer& layer) {
  return Moments::bytes(layer) + kVectors * layer.weights.byte_size();
}

std::function<Fits(const graph::Graph&)> refit_fits(const RefitOptions& options) {
  return [&options](const graph::Graph& graph) -> Fits {
    if (options.memory_limit == 0) return [](std::size_t) { return true; };
    return [&options, needs = Needs(shallow_branches_first(graph), options)](std::size_t batches) {
      return needs.bytes(batches) <= options.memory_limit;
    };
  };
}

std::vector<Tensor> usable_pictures(const graph::Graph& graph, const std::vector<Tensor>& batches,
                                    const std::string& what, const std::function<Fits(const graph::Graph&)>& rule) {
  require(!batches.empty(), "{} needs at least one picture", what);
  require(graph.inputs.size() == 1, "{}: the network has {} inputs, one is supported", what, graph.inputs.size());
  std::vector<Tensor> result;
  for (const Tensor& batch : batches) {
    if (batch.shape() == batches[0].shape()) result.push_back(batch);
  }
  const Fits fits = rule(graph::specialize(graph, {batches[0].shape()}));
  while (result.size() > 1 && !fits(result.size())) result.pop_back();
  std::int64_t number = 0;
  for (const Tensor& batch : result) {
    const auto values = batch.data<float>();
    const std::int64_t each = batch.size() / batch.dim(0);
    const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
    require(bad == values.end(), "{}: calibration picture {} holds a value that is not finite", what,
            number + (bad - values.begin()) / each);
    number += batch.dim(0);
  }
  return result;
}

}  // namespace wins::refit
