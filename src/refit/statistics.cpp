#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

/// Pixels of one channel in one picture.
std::int64_t pixels_of(const Tensor& t) {
  return t.size() / (t.dim(0) * t.dim(1));
}

}  // namespace

ChannelStatistics channel_statistics(const Activations& activations, int threads) {
  const std::int64_t K = activations.at(0).dim(1);
  ChannelStatistics result;
  result.mean.resize(static_cast<std::size_t>(K));
  result.variance.resize(static_cast<std::size_t>(K));
  parallel_for(K, threads, [&](std::int64_t k, int) {
    double sum = 0, squares = 0, count = 0;
    // Deviations from the first pixel: no cancellation when the mean is large.
    const double origin = static_cast<double>(
        activations[0].data<float>()[static_cast<std::size_t>(k * pixels_of(activations[0]))]);
    for (const Tensor& t : activations) {
      const std::int64_t pixels = pixels_of(t);
      for (std::int64_t n = 0; n < t.dim(0); ++n) {
        const float* p = t.data<float>().data() + (n * K + k) * pixels;
        for (std::int64_t i = 0; i < pixels; ++i) {
          const double v = static_cast<double>(p[i]) - origin;
          sum += v;
          squares += v * v;
        }
      }
      count += static_cast<double>(t.dim(0) * pixels);
    }
    result.mean[static_cast<std::size_t>(k)] = origin + sum / count;
    result.variance[static_cast<std::size_t>(k)] =
        std::max(0.0, squares / count - (sum / count) * (sum / count));
  });
  return result;
}

double centred_squared_error(const Activations& have, const Activations& want, int threads) {
  Activations difference = want;
  for (std::size_t b = 0; b < want.size(); ++b) {
    const auto d = difference[b].mutable_data<float>();
    const auto h = have[b].data<float>();
    for (std::size_t i = 0; i < d.size(); ++i) d[i] -= h[i];
  }
  const ChannelStatistics error = channel_statistics(difference, threads), all = channel_statistics(want, threads);
  const double errors = std::accumulate(error.variance.begin(), error.variance.end(), 0.0);
  const double energy = std::accumulate(all.variance.begin(), all.variance.end(), 0.0);
  return energy > 0 ? errors / energy : 0;
}

}  // namespace wins::refit
