#include <algorithm>

#include "blas.hpp"
#include "scores.hpp"
#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

std::vector<int> alive_positions(const LinearLayer& layer) {
  std::vector<int> alive;
  for (int xi = 0; xi < layer.positions; ++xi) {
    if (layer.alive(xi)) alive.push_back(xi);
  }
  return alive;
}

/// The centred H + rho I over the alive positions; the upper triangle of a row-major matrix.
void assemble(const LinearLayer& layer, const Moments& moments, const std::vector<int>& alive, double rho,
              int threads, std::vector<float>& matrix) {
  const std::int64_t C = layer.C, n = static_cast<std::int64_t>(alive.size()) * C;
  parallel_tasks(n, threads, [&](std::int64_t row, int) {
    const auto i = static_cast<std::size_t>(row / C);
    const std::int64_t r = row % C;
    const double* means = moments.mean().data();
    const double mean = means[alive[i] * C + r];
    for (std::size_t j = i; j < alive.size(); ++j) {
      const float* block = moments.block(alive[i], alive[j]);
      float* out = matrix.data() + row * n + static_cast<std::int64_t>(j) * C;
      const double* other = means + alive[j] * C;
      for (std::int64_t c = 0; c < C; ++c) {
        const double raw = block == nullptr ? 0 : static_cast<double>(block[r * C + c]);
        out[c] = static_cast<float>(raw - mean * other[c] + (i == j && r == c ? rho : 0));
      }
    }
  });
}

/// Scores of the rows of the `index`-th alive position from the inverse; false when its block of that is not
/// positive definite.
bool score_position(const LinearLayer& layer, int xi, std::int64_t index, std::int64_t n,
                    const std::vector<float>& inverse, double* scores) {
  const std::int64_t C = layer.C, K = layer.K;
  std::vector<double> block(static_cast<std::size_t>(C * C));
  for (std::int64_t r = 0; r < C; ++r) {
    for (std::int64_t c = 0; c < C; ++c) {
      const std::int64_t low = index * C + std::min(r, c), high = index * C + std::max(r, c);
      block[static_cast<std::size_t>(r * C + c)] =
          static_cast<double>(inverse[static_cast<std::size_t>(low * n + high)]);
    }
  }
  if (!invert_spd(C, block)) return false;
  const std::vector<float> form(block.begin(), block.end());
  const float* u = layer.weights.data<float>().data() + xi * K * C;
  std::vector<float> product(static_cast<std::size_t>(K * C), 0.0F);
  multiply(K, C, u, form.data(), false, product.data());
  for (std::int64_t k = 0; k < K; ++k) {
    double sum = 0;
    for (std::int64_t c = 0; c < C; ++c) {
      sum += static_cast<double>(product[static_cast<std::size_t>(k * C + c)]) *
             static_cast<double>(u[k * C + c]);
    }
    scores[k] = std::max(0.0, sum);
  }
  return true;
}

}  // namespace

std::size_t obs_bytes(const LinearLayer& layer) {
  const auto alive = static_cast<std::size_t>(alive_positions(layer).size());
  const auto C = static_cast<std::size_t>(layer.C), K = static_cast<std::size_t>(layer.K);
  return alive * C * alive * C * sizeof(float) + C * C * (sizeof(double) + sizeof(float)) +
         K * C * sizeof(float);
}

std::optional<Tensor> obs_scores(const LinearLayer& layer, const Moments& moments,
                                 const std::vector<double>& weight, double ridge, int threads) {
  Tensor scores(DType::f64, {layer.positions, layer.K});
  double rho = ridge * moments.mean_diagonal(layer.mask);
  if (!(rho > 0)) return scores;  // the inputs do not vary: nothing is lost with any row
  const std::vector<int> alive = alive_positions(layer);
  const std::int64_t n = static_cast<std::int64_t>(alive.size()) * layer.C;
  const auto values = scores.mutable_data<double>();
  std::vector<float> matrix(static_cast<std::size_t>(n * n));
  for (int attempt = 0; attempt < 4; ++attempt, rho *= 10) {
    assemble(layer, moments, alive, rho, threads, matrix);
    bool good = false;
    {
      const BlasThreads all(threads);  // one large factorisation: nothing else runs beside it
      good = invert_spd_upper(n, matrix);
    }
    std::vector<char> inverted(alive.size(), good ? 1 : 0);
    if (good) {
      parallel_tasks(static_cast<std::int64_t>(alive.size()), threads, [&](std::int64_t i, int) {
        const int xi = alive[static_cast<std::size_t>(i)];
        if (!score_position(layer, xi, i, n, matrix, values.data() + xi * layer.K))
          inverted[static_cast<std::size_t>(i)] = 0;
      });
    }
    if (std::find(inverted.begin(), inverted.end(), 0) != inverted.end()) continue;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] *= weight[i % static_cast<std::size_t>(layer.K)];
    return scores;
  }
  return std::nullopt;
}

}  // namespace wins::refit
