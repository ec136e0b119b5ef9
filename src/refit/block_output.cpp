#include "block_output.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

// Relative to the largest one of the layer. A smaller factor would ask for outputs beyond all measure.
constexpr double kSwitchedOff = 1e-3;

/// Pixels of plane `plane` = picture * K + channel.
std::span<const float> plane_of(const Activations* activations, std::size_t batch, std::int64_t plane) {
  if (activations == nullptr) return {};
  const Tensor& t = (*activations)[batch];
  const auto pixels = static_cast<std::size_t>(t.size() / (t.dim(0) * t.dim(1)));
  return t.data<float>().subspan(static_cast<std::size_t>(plane) * pixels, pixels);
}

double at(std::span<const float> plane, std::size_t i) {
  return plane.empty() ? 0.0 : static_cast<double>(plane[i]);
}

}  // namespace

struct BlockOutput::Channel {
  double dense_scale, dense_offset, scale, offset, low, high;
  bool alive;  ///< the factor is not (nearly) zero

  double clamp(double z) const { return std::clamp(z, low, high); }
  /// What z should be, given what it is.
  double wanted(double dense_z, double z) const {
    if (dense_z <= low) return std::min(z, low);
    if (dense_z >= high) return std::max(z, high);
    return dense_z;
  }
};

BlockOutput::BlockOutput(const Surroundings& dense, const Surroundings& pruned, const Branches& branches, int threads)
    : dense_(dense), pruned_(pruned), branches_(branches), threads_(threads) {
  for (const double scale : pruned.scale) smallest_scale_ = std::max(smallest_scale_, std::abs(scale) * kSwitchedOff);
}

BlockOutput::Channel BlockOutput::channel(std::size_t k) const {
  return {dense_.scale[k], dense_.offset[k], pruned_.scale[k],
          pruned_.offset[k], pruned_.low, pruned_.high, std::abs(pruned_.scale[k]) > smallest_scale_};
}

Activations BlockOutput::linear_targets() const {
  Activations result = *branches_.target;
  for (std::size_t b = 0; b < result.size(); ++b) {
    const std::int64_t K = result[b].dim(1);
    const std::int64_t pixels = result[b].size() / (result[b].dim(0) * K);
    const auto values = result[b].mutable_data<float>();
    parallel_for(result[b].dim(0) * K, threads_, [&](std::int64_t plane, int) {
      const Channel c = channel(static_cast<std::size_t>(plane % K));
      if (!c.alive) return;
      const auto want = plane_of(branches_.dense_other, b, plane), have = plane_of(branches_.other, b, plane);
      float* t = values.data() + plane * pixels;
      for (std::size_t i = 0; i < static_cast<std::size_t>(pixels); ++i) {
        const double z = c.dense_scale * static_cast<double>(t[i]) + c.dense_offset + at(want, i);
        t[i] = static_cast<float>((z - c.offset - at(have, i)) / c.scale);
      }
    });
  }
  return result;
}

void BlockOutput::judge(std::size_t batch, const Tensor& y, const std::vector<double>& shift, Judgement& judgement,
                        Activations* targets) const {
  const std::int64_t N = y.dim(0), K = y.dim(1), pixels = y.size() / (N * K);
  float* replaced = targets == nullptr ? nullptr : (*targets)[batch].mutable_data<float>().data();
  const float* outputs = y.data<float>().data();
  parallel_for(K, threads_, [&](std::int64_t k, int) {
    const Channel c = channel(static_cast<std::size_t>(k));
    double squared = 0;
    for (std::int64_t plane = k; plane < N * K; plane += K) {
      const auto dense = plane_of(branches_.target, batch, plane);
      const auto want = plane_of(branches_.dense_other, batch, plane), have = plane_of(branches_.other, batch, plane);
      for (std::size_t i = 0; i < static_cast<std::size_t>(pixels); ++i) {
        const std::int64_t pixel = plane * pixels + static_cast<std::int64_t>(i);
        const double dense_z = c.dense_scale * static_cast<double>(dense[i]) + c.dense_offset + at(want, i);
        const double rest = c.offset + at(have, i);
        const double z = c.scale * (static_cast<double>(outputs[pixel]) + shift[static_cast<std::size_t>(k)]) + rest;
        const double error = c.clamp(z) - c.clamp(dense_z);
        squared += error * error;
        if (replaced != nullptr && c.alive) replaced[pixel] = static_cast<float>((c.wanted(dense_z, z) - rest) / c.scale);
      }
    }
    judgement.squared[static_cast<std::size_t>(k)] += squared;
  });
}

double BlockOutput::energy() const {
  const auto K = static_cast<std::int64_t>(dense_.scale.size());
  std::vector<double> deviations(static_cast<std::size_t>(K), 0.0);
  parallel_for(K, threads_, [&](std::int64_t k, int) {
    const Channel c = channel(static_cast<std::size_t>(k));
    double sum = 0, squares = 0, count = 0;
    for (std::size_t b = 0; b < branches_.target->size(); ++b) {
      for (std::int64_t plane = k; plane < (*branches_.target)[b].dim(0) * K; plane += K) {
        const auto dense = plane_of(branches_.target, b, plane), want = plane_of(branches_.dense_other, b, plane);
        for (std::size_t i = 0; i < dense.size(); ++i) {
          const double f = c.clamp(c.dense_scale * static_cast<double>(dense[i]) + c.dense_offset + at(want, i));
          sum += f;
          squares += f * f;
        }
        count += static_cast<double>(dense.size());
      }
    }
    deviations[static_cast<std::size_t>(k)] = count > 0 ? std::max(0.0, squares - sum * sum / count) : 0;
  });
  double total = 0;
  for (const double deviation : deviations) total += deviation;
  return total;
}

double BlockOutput::relative(const std::vector<double>& squared) const {
  double error = 0;
  for (const double value : squared) error += value;
  const double all = energy();
  return all > 0 ? std::sqrt(error / all) : 0;
}

}  // namespace wins::refit
