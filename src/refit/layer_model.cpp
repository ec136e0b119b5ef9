#include "layer_model.hpp"

#include <algorithm>
#include <numeric>

#include "blas.hpp"
#include "solver.hpp"
#include "tiles.hpp"
#include "wins/base/parallel.hpp"
#include "wins/refit/backend.hpp"

namespace wins::refit {
namespace {

Tensor difference(const Tensor& a, const Tensor& b) {
  Tensor result = a;
  const auto to = result.mutable_data<float>();
  const auto from = b.data<float>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] -= from[i];
  return result;
}

/// Moments over all positions, whatever the layer's own mask.
LinearLayer with_all_positions(LinearLayer layer) {
  layer.mask = winograd::Mask::full(winograd::Axis::row, layer.positions, layer.K, layer.C);
  return layer;
}

}  // namespace

LinearLayer under_mask(LinearLayer layer, const winograd::Mask& mask) {
  layer.mask = mask;
  const auto w = layer.weights.mutable_data<float>();
  std::size_t i = 0;
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (std::int64_t k = 0; k < layer.K; ++k) {
      for (std::int64_t c = 0; c < layer.C; ++c, ++i) {
        if (!mask.weight_kept(xi, k, c)) w[i] = 0;
      }
    }
  }
  return layer;
}

LayerModel::LayerModel(const LinearLayer& layer, const Activations& x, const Shape& output,
                       const RefitOptions& options)
    : options_(options),
      threads_(options.threads > 0 ? options.threads : default_threads()),
      layer_(with_all_positions(layer)),
      moments_(layer_, threads_) {
  moments_.gather(x, sample_tiles(layer_, output, x.size(), wanted_tiles(layer_, options), options.seed), {});
  moments_.aim_at(layer_.weights);
  variance_ = energy(layer_.weights);
}

LayerModel::Fitted LayerModel::fit(const winograd::Mask& mask, int max_iterations) const {
  const LinearLayer masked = under_mask(layer_, mask);
  Fitted fitted;
  fitted.weights = masked.weights;
  if (mask.kept_total() > 0) {
    const Solver solver(masked, moments_, options_.ridge, threads_);
    if (solver.ready()) solver.improve(fitted.weights, max_iterations, options_.tolerance);
  }
  const Tensor lacking = difference(layer_.weights, fitted.weights);
  fitted.mean = moments_.mean_output(lacking);
  fitted.squared_error = variance_ > 0 ? energy(lacking) / variance_ : 0;
  return fitted;
}

/// Variance of the outputs that `weights` give, summed over the channels: sum_k w_k^T H w_k, H centred.
double LayerModel::energy(const Tensor& weights) const {
  const float* w = weights.data<float>().data();
  const std::int64_t size = layer_.K * layer_.C;
  std::vector<double> sums(static_cast<std::size_t>(layer_.positions), 0.0);
  parallel_tasks(layer_.positions, threads_, [&](std::int64_t position, int) {
    const int xi = static_cast<int>(position);
    // w_other H[other, xi] over the stored half; what stands above the diagonal counts twice.
    for (int other = 0; other <= xi; ++other) {
      const float* block = moments_.block(other, xi);
      if (block == nullptr) continue;
      std::vector<float> product(static_cast<std::size_t>(size), 0.0F);
      multiply(layer_.K, layer_.C, w + other * size, block, false, product.data());
      const float* own = w + position * size;
      double sum = 0;
      for (std::int64_t i = 0; i < size; ++i) {
        sum += static_cast<double>(product[static_cast<std::size_t>(i)]) * static_cast<double>(own[i]);
      }
      sums[static_cast<std::size_t>(xi)] += other == xi ? sum : 2 * sum;
    }
  });
  double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (const double mean : moments_.mean_output(weights)) total -= mean * mean;
  return std::max(0.0, total);
}

}  // namespace wins::refit
