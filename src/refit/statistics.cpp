#include "statistics.hpp"

#include <algorithm>
#include <cmath>

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

OutputError::OutputError(std::int64_t channels) {
  for (auto* sums : {&difference_, &difference_squared_, &target_, &target_squared_}) {
    sums->assign(static_cast<std::size_t>(channels), 0.0);
  }
}

void OutputError::add(const Tensor& output, const Tensor& target) {
  const std::int64_t pixels = pixels_of(output);
  const auto K = static_cast<std::int64_t>(target_.size());
  const auto y = output.data<float>(), t = target.data<float>();
  parallel_for(K, default_threads(), [&](std::int64_t k, int) {
    double d1 = 0, d2 = 0, t1 = 0, t2 = 0;
    for (std::int64_t n = 0; n < output.dim(0); ++n) {
      const auto first = static_cast<std::size_t>((n * K + k) * pixels);
      for (std::size_t i = first; i < first + static_cast<std::size_t>(pixels); ++i) {
        const double want = static_cast<double>(t[i]);
        const double d = want - static_cast<double>(y[i]);
        d1 += d;
        d2 += d * d;
        t1 += want;
        t2 += want * want;
      }
    }
    const auto at = static_cast<std::size_t>(k);
    difference_[at] += d1;
    difference_squared_[at] += d2;
    target_[at] += t1;
    target_squared_[at] += t2;
  });
  count_ += static_cast<double>(output.dim(0) * pixels);
}

std::vector<double> OutputError::shift() const {
  std::vector<double> result = difference_;
  for (double& value : result) value /= std::max(1.0, count_);
  return result;
}

std::vector<double> OutputError::squared() const {
  std::vector<double> result = difference_squared_;
  for (std::size_t k = 0; k < result.size() && count_ > 0; ++k) {
    result[k] = std::max(0.0, result[k] - difference_[k] * difference_[k] / count_);
  }
  return result;
}

double OutputError::relative() const {
  double error = 0, energy = 0;
  for (const double value : squared()) error += value;
  for (std::size_t k = 0; k < target_.size() && count_ > 0; ++k) {
    energy += std::max(0.0, target_squared_[k] - target_[k] * target_[k] / count_);
  }
  return energy > 0 ? std::sqrt(error / energy) : 0;
}

}  // namespace wins::refit
