#include "moments.hpp"

#include <algorithm>
#include <cmath>

#include "blas.hpp"
#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

// V and Y of one chunk of tiles together: small enough to stay out of the way.
constexpr std::int64_t kChunkFloats = std::int64_t{12} << 20;

/// Whether output pixel a lies inside the tiles of this class.
bool inside(const TileClass& kind, int m, int a) {
  return a / m < kind.rows && a % m < kind.cols;
}

/// sum over the class's output pixels of Aw[xi,a] Aw[other,a].
double coefficient(const LinearLayer& layer, const TileClass& kind, int xi, int other) {
  double sum = 0;
  for (int a = 0; a < layer.m * layer.m; ++a) {
    if (inside(kind, layer.m, a)) sum += layer.aw(xi, a) * layer.aw(other, a);
  }
  return sum;
}

/// Whether two positions meet in any output pixel at all. Tiles that are cut off see a part of the pixels,
/// where sums that cancel over a whole tile do not.
bool meet(const LinearLayer& layer, int xi, int other) {
  for (int a = 0; a < layer.m * layer.m; ++a) {
    if (layer.aw(xi, a) * layer.aw(other, a) != 0) return true;
  }
  return false;
}

/// Output pixels of all tiles, at least 1.
double pixels_of(const std::vector<TileClass>& classes) {
  double pixels = 0;
  for (const TileClass& kind : classes)
    pixels += static_cast<double>(kind.tiles.size()) * static_cast<double>(kind.rows * kind.cols);
  return std::max(pixels, 1.0);
}

}  // namespace

Moments::Moments(const LinearLayer& layer, int threads)
    : layer_(layer),
      threads_(threads),
      index_(static_cast<std::size_t>(layer.positions * layer.positions), -1) {
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (int other = xi; other < layer.positions; ++other) {
      if (!layer.alive(xi) || !layer.alive(other) || !meet(layer, xi, other)) continue;
      index_[static_cast<std::size_t>(xi * layer.positions + other)] = static_cast<int>(pairs_.size());
      pairs_.push_back({xi, other, std::vector<float>(static_cast<std::size_t>(layer.C * layer.C))});
    }
  }
  rhs_.resize(static_cast<std::size_t>(layer.positions * layer.K * layer.C));
  mean_.resize(static_cast<std::size_t>(layer.positions * layer.C));
  target_mean_.resize(static_cast<std::size_t>(layer.K));
}

std::size_t Moments::bytes(const LinearLayer& layer) {
  std::size_t pairs = 0;
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (int other = xi; other < layer.positions; ++other) {
      if (layer.alive(xi) && layer.alive(other) && meet(layer, xi, other)) ++pairs;
    }
  }
  return sizeof(float) * (pairs * static_cast<std::size_t>(layer.C * layer.C) +
                          static_cast<std::size_t>(layer.positions * layer.K * layer.C));
}

void Moments::for_each_chunk(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets,
                             const VisitChunk& visit) const {
  const std::int64_t floats = layer_.positions * (layer_.C + layer_.K) + layer_.m * layer_.m * layer_.K;
  const std::int64_t most = std::clamp<std::int64_t>(kChunkFloats / floats, 64, 4096);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto count = static_cast<std::int64_t>(classes[i].tiles.size());
    for (std::int64_t first = 0; first < count; first += most) {
      Chunk chunk{classes[i], {}, {}, std::min(most, count - first)};
      const auto begin = classes[i].tiles.begin() + first;
      gather_input(layer_, x, std::vector<Tile>(begin, begin + chunk.T), threads_, chunk.V);
      for (std::int64_t row = 0; row < (targets.empty() ? 0 : layer_.m * layer_.m * layer_.K); ++row) {
        const auto from = targets[i].begin() + row * count + first;
        chunk.Y.insert(chunk.Y.end(), from, from + chunk.T);
      }
      visit(chunk);
    }
  }
}

void Moments::gather(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets) {
  for_each_chunk(x, classes, targets, [&](const Chunk& chunk) {
    add_blocks(chunk);
    add_means(chunk);
    if (!targets.empty()) add_targets(chunk);
  });
  const double scale = 1 / pixels_of(classes);
  for (Pair& pair : pairs_) {
    for (float& value : pair.values) value *= static_cast<float>(scale);
  }
  for (double& value : mean_) value *= scale;
  scale_targets(scale);
}

void Moments::retarget(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets) {
  std::fill(rhs_.begin(), rhs_.end(), 0.0F);
  std::fill(target_mean_.begin(), target_mean_.end(), 0.0);
  for_each_chunk(x, classes, targets, [&](const Chunk& chunk) { add_targets(chunk); });
  scale_targets(1 / pixels_of(classes));
}

void Moments::aim_at(const Tensor& weights) {
  const std::int64_t C = layer_.C, K = layer_.K;
  const float* u = weights.data<float>().data();
  std::fill(rhs_.begin(), rhs_.end(), 0.0F);
  parallel_tasks(layer_.positions, threads_, [&](std::int64_t position, int) {
    const int xi = static_cast<int>(position);
    float* to = rhs_.data() + xi * K * C;
    for (int other = 0; other < layer_.positions; ++other) {
      const bool upper = other <= xi;
      const float* values = upper ? block(other, xi) : block(xi, other);
      if (values != nullptr) multiply(K, C, u + other * K * C, values, !upper, to);
    }
  });
  target_mean_ = mean_output(weights);
}

std::vector<double> Moments::mean_output(const Tensor& weights) const {
  const std::int64_t C = layer_.C, K = layer_.K;
  const float* u = weights.data<float>().data();
  std::vector<double> result(static_cast<std::size_t>(K), 0.0);
  for (std::int64_t row = 0; row < layer_.positions * K; ++row) {
    const double* mean = mean_.data() + row / K * C;
    double sum = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += static_cast<double>(u[row * C + c]) * mean[c];
    result[static_cast<std::size_t>(row % K)] += sum;
  }
  return result;
}

void Moments::add_blocks(const Chunk& chunk) {
  const std::int64_t C = layer_.C, T = chunk.T;
  parallel_tasks(static_cast<std::int64_t>(pairs_.size()), threads_, [&](std::int64_t i, int) {
    Pair& pair = pairs_[static_cast<std::size_t>(i)];
    const double alpha = coefficient(layer_, chunk.kind, pair.xi, pair.other);
    if (alpha == 0) return;
    multiply_transposed(C, C, T, static_cast<float>(alpha), chunk.V.data() + pair.xi * C * T,
                        chunk.V.data() + pair.other * C * T, pair.values.data());
  });
}

/// Sums of phi: of V, times how often its position counts in a tile.
void Moments::add_means(const Chunk& chunk) {
  const std::int64_t C = layer_.C, T = chunk.T;
  for (int xi = 0; xi < layer_.positions; ++xi) {
    double weight = 0;
    for (int a = 0; a < layer_.m * layer_.m; ++a) weight += inside(chunk.kind, layer_.m, a) ? layer_.aw(xi, a) : 0;
    if (!layer_.alive(xi) || weight == 0) continue;
    parallel_for(C, threads_, [&](std::int64_t c, int) {
      const float* v = chunk.V.data() + (xi * C + c) * T;
      double sum = 0;
      for (std::int64_t t = 0; t < T; ++t) sum += static_cast<double>(v[t]);
      mean_[static_cast<std::size_t>(xi * C + c)] += weight * sum;
    });
  }
}

void Moments::add_targets(const Chunk& chunk) {
  parallel_tasks(layer_.positions, threads_, [&](std::int64_t xi, int) {
    if (layer_.alive(static_cast<int>(xi))) add_position_targets(static_cast<int>(xi), chunk);
  });
  const std::int64_t K = layer_.K, T = chunk.T;
  parallel_for(K, threads_, [&](std::int64_t k, int) {
    double sum = 0;
    for (int a = 0; a < layer_.m * layer_.m; ++a) {  // pixels outside are zero
      const float* y = chunk.Y.data() + (a * K + k) * T;
      for (std::int64_t t = 0; t < T; ++t) sum += static_cast<double>(y[t]);
    }
    target_mean_[static_cast<std::size_t>(k)] += sum;
  });
}

/// y phi: the outputs are first spread over the position (z = sum_a Aw[xi,a] y_a).
void Moments::add_position_targets(int xi, const Chunk& chunk) {
  const std::int64_t C = layer_.C, K = layer_.K, T = chunk.T;
  std::vector<float> z(static_cast<std::size_t>(K * T), 0.0F);
  for (int a = 0; a < layer_.m * layer_.m; ++a) {
    const double aw = layer_.aw(xi, a);
    if (!inside(chunk.kind, layer_.m, a) || aw == 0) continue;
    const float* y = chunk.Y.data() + a * K * T;
    const auto factor = static_cast<float>(aw);
    for (std::int64_t i = 0; i < K * T; ++i) z[static_cast<std::size_t>(i)] += factor * y[i];
  }
  multiply_transposed(K, C, T, 1.0F, z.data(), chunk.V.data() + xi * C * T, rhs_.data() + xi * K * C);
}

void Moments::scale_targets(double scale) {
  for (float& value : rhs_) value *= static_cast<float>(scale);
  for (double& value : target_mean_) value *= scale;
}

const float* Moments::block(int xi, int other) const {
  const int i = index_[static_cast<std::size_t>(xi * layer_.positions + other)];
  return i < 0 ? nullptr : pairs_[static_cast<std::size_t>(i)].values.data();
}

double Moments::mean_diagonal(const winograd::Mask& mask) const {
  double sum = 0;
  std::int64_t count = 0;
  for (int xi = 0; xi < layer_.positions; ++xi) {
    const float* values = block(xi, xi);
    if (values == nullptr || mask.kept_in(xi) == 0) continue;
    for (std::int64_t c = 0; c < layer_.C; ++c) {
      const double mean = mean_[static_cast<std::size_t>(xi * layer_.C + c)];
      sum += std::max(0.0, static_cast<double>(values[c * layer_.C + c]) - mean * mean);
    }
    count += layer_.C;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace wins::refit
