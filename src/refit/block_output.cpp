#include "block_output.hpp"

#include <algorithm>
#include <cmath>

#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

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

  double clamp(double value) const { return std::clamp(value, low, high); }
  double dense_z(double y, double other) const { return dense_scale * y + dense_offset + other; }
  double z(double y, double other) const { return scale * y + offset + other; }
  /// The y that gives z.
  double output_for(double z_wanted, double other) const { return (z_wanted - offset - other) / scale; }
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

void BlockOutput::judge(std::size_t batch, const Tensor& y, const std::vector<double>& shift,
                        std::vector<double>& squared) const {
  const std::int64_t N = y.dim(0), K = y.dim(1);
  const Activations outputs{y};
  parallel_for(K, threads_, [&](std::int64_t k, int) {
    const Channel c = channel(static_cast<std::size_t>(k));
    double sum = 0;
    for (std::int64_t plane = k; plane < N * K; plane += K) {
      const auto dense = plane_of(branches_.target, batch, plane), have = plane_of(&outputs, 0, plane);
      const auto dense_other = plane_of(branches_.dense_other, batch, plane);
      const auto other = plane_of(branches_.other, batch, plane);
      for (std::size_t i = 0; i < have.size(); ++i) {
        const double want = c.clamp(c.dense_z(at(dense, i), at(dense_other, i)));
        const double is = c.clamp(c.z(at(have, i) + shift[static_cast<std::size_t>(k)], at(other, i)));
        sum += (is - want) * (is - want);
      }
    }
    squared[static_cast<std::size_t>(k)] += sum;
  });
}

/// Outputs of one batch as they are; without `y` all batches, as if z were the dense network's.
struct BlockOutput::Present {
  const Activations* y = nullptr;  ///< one batch
  std::int64_t batch = 0;
  const std::vector<double>* shift = nullptr;
};

void BlockOutput::fill(const Present& present, const LinearLayer& layer, const std::vector<TileClass>& classes,
                       TileTargets& targets) const {
  const Tensor& shape = branches_.target->at(0);
  const std::int64_t K = layer.K, H = shape.rank() > 2 ? shape.dim(2) : 1, W = shape.rank() > 2 ? shape.dim(3) : 1;
  const std::int64_t m = layer.m;
  parallel_for(K, threads_, [&](std::int64_t k, int) {
    const Channel c = channel(static_cast<std::size_t>(k));
    for (std::size_t kind = 0; kind < classes.size(); ++kind) {
      const std::vector<Tile>& tiles = classes[kind].tiles;
      const auto T = static_cast<std::int64_t>(tiles.size());
      for (std::int64_t t = 0; t < T; ++t) {
        const Tile& tile = tiles[static_cast<std::size_t>(t)];
        if (present.y != nullptr && tile.batch != present.batch) continue;
        const auto batch = static_cast<std::size_t>(tile.batch);
        const std::int64_t plane = tile.picture * K + k;
        const auto dense = plane_of(branches_.target, batch, plane);
        const auto dense_other = plane_of(branches_.dense_other, batch, plane);
        const auto other = plane_of(branches_.other, batch, plane), have = plane_of(present.y, 0, plane);
        for (std::int64_t a = 0; a < m * m; ++a) {
          const std::int64_t h = tile.row + a / m, w = tile.col + a % m;
          if (h >= H || w >= W) continue;
          const auto i = static_cast<std::size_t>(h * W + w);
          const double dense_z = c.dense_z(at(dense, i), at(dense_other, i));
          const double z = present.y == nullptr
                               ? dense_z
                               : c.z(at(have, i) + (*present.shift)[static_cast<std::size_t>(k)], at(other, i));
          const double wanted = present.y == nullptr ? dense_z : c.wanted(dense_z, z);
          targets[kind][static_cast<std::size_t>((a * K + k) * T + t)] =
              c.alive ? static_cast<float>(c.output_for(wanted, at(other, i))) : dense[i];
        }
      }
    }
  });
}

TileTargets BlockOutput::linear_targets(const LinearLayer& layer, const std::vector<TileClass>& classes) const {
  TileTargets targets;
  for (const TileClass& kind : classes)
    targets.emplace_back(static_cast<std::size_t>(layer.m * layer.m * layer.K) * kind.tiles.size(), 0.0F);
  fill({}, layer, classes, targets);
  return targets;
}

void BlockOutput::retarget(std::size_t batch, const Tensor& y, const std::vector<double>& shift,
                           const LinearLayer& layer, const std::vector<TileClass>& classes,
                           TileTargets& targets) const {
  const Activations outputs{y};
  fill({&outputs, static_cast<std::int64_t>(batch), &shift}, layer, classes, targets);
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
          const double f = c.clamp(c.dense_z(at(dense, i), at(want, i)));
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
