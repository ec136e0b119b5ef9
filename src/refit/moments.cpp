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

void Moments::add(const Activations& x, const Activations& y, const std::vector<TileClass>& classes) {
  const std::int64_t floats = layer_.positions * (layer_.C + layer_.K) + layer_.m * layer_.m * layer_.K;
  const std::int64_t chunk = std::clamp<std::int64_t>(kChunkFloats / floats, 64, 4096);
  std::vector<float> V, Y;
  for (const TileClass& kind : classes) {
    const auto count = static_cast<std::int64_t>(kind.tiles.size());
    for (std::int64_t first = 0; first < count; first += chunk) {
      const std::int64_t T = std::min(chunk, count - first);
      const std::vector<Tile> tiles(kind.tiles.begin() + first, kind.tiles.begin() + first + T);
      gather_input(layer_, x, tiles, threads_, V);
      gather_targets(layer_, y, tiles, threads_, Y);
      add_chunk(kind, V, Y, T);
    }
    pixels_ += static_cast<double>(count * kind.rows * kind.cols);
  }
}

void Moments::add_chunk(const TileClass& kind, const std::vector<float>& V, const std::vector<float>& Y,
                        std::int64_t T) {
  add_blocks(kind, V, T);
  parallel_tasks(layer_.positions, threads_, [&](std::int64_t xi, int) {
    if (layer_.alive(static_cast<int>(xi))) add_position(static_cast<int>(xi), kind, V, Y, T);
  });
  for (std::int64_t k = 0; k < layer_.K; ++k) {
    double sum = 0;
    for (int a = 0; a < layer_.m * layer_.m; ++a) {  // pixels outside are zero
      const float* y = Y.data() + (a * layer_.K + k) * T;
      for (std::int64_t t = 0; t < T; ++t) sum += static_cast<double>(y[t]);
    }
    target_mean_[static_cast<std::size_t>(k)] += sum;
  }
}

void Moments::add_blocks(const TileClass& kind, const std::vector<float>& V, std::int64_t T) {
  const std::int64_t C = layer_.C;
  parallel_tasks(static_cast<std::int64_t>(pairs_.size()), threads_, [&](std::int64_t i, int) {
    Pair& pair = pairs_[static_cast<std::size_t>(i)];
    const double alpha = coefficient(layer_, kind, pair.xi, pair.other);
    if (alpha == 0) return;
    multiply_transposed(C, C, T, static_cast<float>(alpha), V.data() + pair.xi * C * T,
                        V.data() + pair.other * C * T, pair.values.data());
  });
}

/// Means of phi, and y phi: the outputs are first spread over the position (z = sum_a Aw[xi,a] y_a).
void Moments::add_position(int xi, const TileClass& kind, const std::vector<float>& V,
                           const std::vector<float>& Y, std::int64_t T) {
  const std::int64_t C = layer_.C, K = layer_.K;
  const float* v = V.data() + xi * C * T;
  double weight = 0;
  std::vector<float> z(static_cast<std::size_t>(K * T), 0.0F);
  for (int a = 0; a < layer_.m * layer_.m; ++a) {
    const double aw = layer_.aw(xi, a);
    if (!inside(kind, layer_.m, a) || aw == 0) continue;
    weight += aw;
    const float* y = Y.data() + a * K * T;
    const auto factor = static_cast<float>(aw);
    for (std::int64_t i = 0; i < K * T; ++i) z[static_cast<std::size_t>(i)] += factor * y[i];
  }
  multiply_transposed(K, C, T, 1.0F, z.data(), v, rhs_.data() + xi * K * C);
  for (std::int64_t c = 0; c < C && weight != 0; ++c) {
    double sum = 0;
    for (std::int64_t t = 0; t < T; ++t) sum += static_cast<double>(v[c * T + t]);
    mean_[static_cast<std::size_t>(xi * C + c)] += weight * sum;
  }
}

void Moments::finish() {
  const double scale = pixels_ > 0 ? 1 / pixels_ : 0;
  const auto factor = static_cast<float>(scale);
  for (Pair& pair : pairs_) {
    for (float& value : pair.values) value *= factor;
  }
  for (float& value : rhs_) value *= factor;
  for (double& value : mean_) value *= scale;
  for (double& value : target_mean_) value *= scale;
}

const float* Moments::block(int xi, int other) const {
  const int i = index_[static_cast<std::size_t>(xi * layer_.positions + other)];
  return i < 0 ? nullptr : pairs_[static_cast<std::size_t>(i)].values.data();
}

double Moments::mean_diagonal() const {
  double sum = 0;
  std::int64_t count = 0;
  for (int xi = 0; xi < layer_.positions; ++xi) {
    const float* values = block(xi, xi);
    if (values == nullptr) continue;
    for (std::int64_t c = 0; c < layer_.C; ++c) {
      const double mean = mean_[static_cast<std::size_t>(xi * layer_.C + c)];
      sum += std::max(0.0, static_cast<double>(values[c * layer_.C + c]) - mean * mean);
    }
    count += layer_.C;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace wins::refit
