// Small layers and activations for the refit's tests, and the definition of the features in double.
#pragma once

#include <cstdint>
#include <vector>

#include "activations.hpp"
#include "block_output.hpp"
#include "moments.hpp"
#include "solver.hpp"
#include "wins/refit/linear_layer.hpp"
#include "tiles.hpp"

namespace wins::refit::testing {

/// A 3x3 layer, pad 1, F(m, 3), random U.
inline LinearLayer winograd_layer(int m, std::int64_t C, std::int64_t K, int stride = 1) {
  LinearLayer layer;
  layer.name = "layer";
  layer.algorithm = &winograd::algorithm(m, 3, stride);
  layer.stride = {stride, stride};
  layer.positions = layer.algorithm->positions();
  layer.C = C;
  layer.K = K;
  layer.m = m;
  layer.pads = {1, 1, 1, 1};
  layer.mask = winograd::Mask::full(winograd::Axis::row, layer.positions, K, C);
  layer.weights = random_normal({layer.positions, K, C}, 7, 0.3F);
  const int p = layer.algorithm->p();
  for (int xi = 0; xi < p * p; ++xi) {
    for (int a = 0; a < m * m; ++a) {
      layer.Aw.push_back(layer.algorithm->A(xi / p, a / m) * layer.algorithm->A(xi % p, a % m));
    }
  }
  return layer;
}

/// Keeps one unit in `every`, and clears the weights of the others.
inline void prune_units(LinearLayer& layer, winograd::Axis axis, std::size_t every) {
  layer.mask = winograd::Mask::full(axis, layer.positions, layer.K, layer.C);
  for (std::size_t i = 0; i < layer.mask.keep.size(); ++i)
    layer.mask.keep[i] = (i * 7 + i / 5) % every == 0 ? 1 : 0;
  const auto w = layer.weights.mutable_data<float>();
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (std::int64_t k = 0; k < layer.K; ++k) {
      for (std::int64_t c = 0; c < layer.C; ++c) {
        if (!layer.mask.weight_kept(xi, k, c))
          w[static_cast<std::size_t>((xi * layer.K + k) * layer.C + c)] = 0;
      }
    }
  }
}

/// Features of every output pixel inside the image, one row [positions * C] each, from the definition.
struct Feature {
  std::int64_t batch, picture, h, w;
  std::vector<double> phi;
};
inline std::vector<Feature> features(const LinearLayer& layer, const Activations& x) {
  const winograd::Algorithm& F = *layer.algorithm;
  const int p = F.p(), m = layer.m, s = F.stride;
  std::vector<Feature> result;
  for (std::size_t b = 0; b < x.size(); ++b) {
    const std::int64_t H = x[b].dim(2), W = x[b].dim(3);
    for (std::int64_t n = 0; n < x[b].dim(0); ++n) {
      for (std::int64_t h = 0; h < F.outputs(H + 2); ++h) {
        for (std::int64_t w = 0; w < F.outputs(W + 2); ++w) {
          Feature feature{static_cast<std::int64_t>(b), n, h, w, {}};
          const std::int64_t top = h / m * m * s - 1, left = w / m * m * s - 1;
          const int a = static_cast<int>(h % m) * m + static_cast<int>(w % m);
          for (int xi = 0; xi < layer.positions; ++xi) {
            for (std::int64_t c = 0; c < layer.C; ++c) {
              double v = 0;
              for (int y = 0; y < p; ++y) {
                for (int z = 0; z < p; ++z) {
                  const std::int64_t row = top + y, col = left + z;
                  if (row < 0 || row >= H || col < 0 || col >= W) continue;
                  const float d =
                      x[b].data<float>()[static_cast<std::size_t>(((n * layer.C + c) * H + row) * W + col)];
                  v += F.B(y, xi / p) * static_cast<double>(d) * F.B(z, xi % p);
                }
              }
              feature.phi.push_back(layer.aw(xi, a) * v);
            }
          }
          result.push_back(std::move(feature));
        }
      }
    }
  }
  return result;
}

inline double target_at(const Activations& y, const Feature& f, std::int64_t k) {
  const Tensor& t = y[static_cast<std::size_t>(f.batch)];
  return static_cast<double>(t.data<float>()[static_cast<std::size_t>(
      ((f.picture * t.dim(1) + k) * t.dim(2) + f.h) * t.dim(3) + f.w)]);
}

/// Centred moments in double over [positions * C].
struct ExactMoments {
  std::vector<double> H;    ///< [n, n]
  std::vector<double> rhs;  ///< [K, n]
};
inline ExactMoments exact_moments(const LinearLayer& layer, const Activations& x, const Activations& y) {
  const std::vector<Feature> all = features(layer, x);
  const auto n = static_cast<std::size_t>(layer.positions * layer.C), K = static_cast<std::size_t>(layer.K);
  const double count = static_cast<double>(all.size());
  std::vector<double> mean(n, 0.0), target(K, 0.0);
  for (const Feature& f : all) {
    for (std::size_t i = 0; i < n; ++i) mean[i] += f.phi[i] / count;
    for (std::size_t k = 0; k < K; ++k) target[k] += target_at(y, f, static_cast<std::int64_t>(k)) / count;
  }
  ExactMoments result{std::vector<double>(n * n, 0.0), std::vector<double>(K * n, 0.0)};
  for (const Feature& f : all) {
    for (std::size_t i = 0; i < n; ++i) {
      const double d = (f.phi[i] - mean[i]) / count;
      for (std::size_t j = 0; j < n; ++j) result.H[i * n + j] += d * (f.phi[j] - mean[j]);
      for (std::size_t k = 0; k < K; ++k) {
        result.rhs[k * n + i] += d * (target_at(y, f, static_cast<std::int64_t>(k)) - target[k]);
      }
    }
  }
  return result;
}

struct Problem {
  LinearLayer layer;
  Activations x, y;
};

/// Odd sizes: cut-off tiles at the bottom and right; a mean that centring must take away.
inline Problem make_problem(int m, std::int64_t C, std::int64_t K, int stride = 1) {
  Problem problem{winograd_layer(m, C, K, stride), {}, {}};
  const winograd::Algorithm& F = *problem.layer.algorithm;
  for (std::uint64_t batch = 0; batch < 2; ++batch) {
    Tensor x = random_normal({3, C, 7, 9}, 11 + batch);
    for (float& v : x.mutable_data<float>()) v = std::max(v, -0.2F) + 0.5F;
    Tensor y = random_normal({3, K, F.outputs(7 + 2), F.outputs(9 + 2)}, 21 + batch);
    for (float& v : y.mutable_data<float>()) v += 2;
    problem.x.push_back(x);
    problem.y.push_back(y);
  }
  return problem;
}

/// Moments of all tiles with the outputs themselves as targets.
inline void gather_all(Moments& moments, const LinearLayer& layer, const Activations& x, const Activations& y) {
  const auto classes = sample_tiles(layer, y[0].shape(), y.size(), 1 << 20, 0);
  Surroundings plain;
  plain.scale.assign(static_cast<std::size_t>(layer.K), 1.0);
  plain.offset.assign(static_cast<std::size_t>(layer.K), 0.0);
  const BlockOutput block(plain, plain, {&y, nullptr, nullptr}, 2);
  moments.gather(x, classes, block.linear_targets(layer, classes));
}

struct Solution {
  Tensor weights;
  bool solved = false;
};

inline Solution solve(const LinearLayer& layer, const Moments& moments, double ridge, int iterations, double tolerance) {
  Solution solution{layer.weights, false};
  const Solver solver(layer, moments, ridge, 2);
  solution.solved = solver.ready();
  if (solver.ready()) solver.improve(solution.weights, iterations, tolerance);
  return solution;
}

}  // namespace wins::refit::testing
