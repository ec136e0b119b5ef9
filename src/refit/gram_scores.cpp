#include <algorithm>
#include <queue>
#include <tuple>

#include "blas.hpp"
#include "scores.hpp"
#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

double dot(const float* a, const float* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// u_{xi,k} . E[phi of position xi], [positions, K].
std::vector<double> row_means(const LinearLayer& layer, const Moments& moments) {
  std::vector<double> means(static_cast<std::size_t>(layer.positions * layer.K));
  const auto u = layer.weights.data<float>();
  for (std::int64_t row = 0; row < layer.positions * layer.K; ++row) {
    for (std::int64_t c = 0; c < layer.C; ++c) {
      means[static_cast<std::size_t>(row)] +=
          static_cast<double>(u[static_cast<std::size_t>(row * layer.C + c)]) *
          moments.mean()[static_cast<std::size_t>(row / layer.K * layer.C + c)];
    }
  }
  return means;
}

/// Inverse of S + rho I over the rows `ids`. Rounding may leave S slightly indefinite: rho then grows.
std::vector<double> inverse_of(const std::vector<double>& S, std::size_t positions,
                               const std::vector<int>& ids, double rho) {
  const std::size_t n = ids.size();
  while (true) {
    std::vector<double> matrix(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        matrix[i * n + j] =
            S[static_cast<std::size_t>(ids[i]) * positions + static_cast<std::size_t>(ids[j])] +
            (i == j ? rho : 0);
      }
    }
    if (invert_spd(static_cast<std::int64_t>(n), matrix)) return matrix;
    rho *= 10;
  }
}

}  // namespace

std::vector<std::vector<double>> row_covariances(const LinearLayer& layer, const Moments& moments,
                                                 int threads) {
  const std::int64_t P = layer.positions, K = layer.K, C = layer.C;
  std::vector<std::vector<double>> S(static_cast<std::size_t>(K),
                                     std::vector<double>(static_cast<std::size_t>(P * P)));
  const std::vector<double> means = row_means(layer, moments);
  const float* u = layer.weights.data<float>().data();
  parallel_tasks(P * P, threads, [&](std::int64_t pair, int) {
    const std::int64_t xi = pair / P, other = pair % P;
    if (xi > other || !layer.alive(static_cast<int>(xi)) || !layer.alive(static_cast<int>(other))) return;
    const float* block = moments.block(static_cast<int>(xi), static_cast<int>(other));
    std::vector<float> product(block == nullptr ? 0 : static_cast<std::size_t>(K * C), 0.0F);
    if (block != nullptr) multiply(K, C, u + xi * K * C, block, false, product.data());
    for (std::int64_t k = 0; k < K; ++k) {
      const double raw = block == nullptr ? 0 : dot(product.data() + k * C, u + (other * K + k) * C, C);
      const double centred =
          raw - means[static_cast<std::size_t>(xi * K + k)] * means[static_cast<std::size_t>(other * K + k)];
      std::vector<double>& own = S[static_cast<std::size_t>(k)];
      own[static_cast<std::size_t>(xi * P + other)] = own[static_cast<std::size_t>(other * P + xi)] = centred;
    }
  });
  return S;
}

std::vector<Removal> removal_order(const std::vector<double>& S, const std::vector<char>& alive,
                                   double ridge) {
  const std::size_t positions = alive.size();
  std::vector<int> ids;
  std::vector<Removal> order;
  double diagonal = 0;
  for (std::size_t xi = 0; xi < positions; ++xi) {
    if (alive[xi] == 0) continue;
    ids.push_back(static_cast<int>(xi));
    diagonal += S[xi * positions + xi];
  }
  if (!(diagonal > 0)) {
    for (const int xi : ids) order.push_back({xi, 0});
    return order;
  }
  const std::size_t n = ids.size();
  const double rho = ridge * diagonal / static_cast<double>(n);
  std::vector<double> inverse = inverse_of(S, positions, ids, rho);
  std::vector<double> b(n, 0.0);
  for (std::size_t j = 0; j < n; ++j) {
    double sum = 0;  // (S 1)_j; rows that are not alive are zero
    for (const int xi : ids)
      sum += S[static_cast<std::size_t>(ids[j]) * positions + static_cast<std::size_t>(xi)];
    for (std::size_t i = 0; i < n; ++i) b[i] += inverse[i * n + j] * sum;
  }
  std::vector<char> left(n, 1);
  while (order.size() < n) {
    std::size_t next = n;
    double least = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (left[i] == 0) continue;
      const double cost = b[i] * b[i] / inverse[i * n + i];
      if (next == n || cost < least) {
        next = i;
        least = cost;
      }
    }
    order.push_back({ids[next], least});
    left[next] = 0;
    // What is left of the inverse is that of the smaller matrix.
    const double factor = b[next] / inverse[next * n + next];
    for (std::size_t i = 0; i < n; ++i) {
      if (left[i] == 0) continue;
      b[i] -= inverse[i * n + next] * factor;
      const double share = inverse[i * n + next] / inverse[next * n + next];
      for (std::size_t j = 0; j < n; ++j) {
        if (left[j] != 0) inverse[i * n + j] -= share * inverse[next * n + j];
      }
    }
  }
  return order;
}

Tensor gram_scores(const LinearLayer& layer, const std::vector<std::vector<double>>& covariances,
                   const std::vector<double>& weight, double ridge, int threads) {
  const std::int64_t P = layer.positions, K = layer.K;
  std::vector<std::vector<Removal>> orders(static_cast<std::size_t>(K));
  std::vector<std::vector<char>> alive(static_cast<std::size_t>(K),
                                       std::vector<char>(static_cast<std::size_t>(P)));
  parallel_for(K, threads, [&](std::int64_t channel, int) {
    const auto k = static_cast<std::size_t>(channel);
    for (int xi = 0; xi < layer.positions; ++xi)
      alive[k][static_cast<std::size_t>(xi)] = layer.mask.weight_kept(xi, channel, 0) ? 1 : 0;
    orders[k] = removal_order(covariances[k], alive[k], ridge);
  });

  Tensor scores(DType::f64, {P, K});
  const auto place = scores.mutable_data<double>();
  double rank = 0;
  for (std::int64_t row = 0; row < P * K; ++row) {
    if (alive[static_cast<std::size_t>(row % K)][static_cast<std::size_t>(row / K)] == 0)
      place[static_cast<std::size_t>(row)] = rank++;
  }
  // The next row of each channel: (cost, index of the row), cheapest first.
  using Entry = std::tuple<double, std::int64_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  std::vector<std::size_t> taken(static_cast<std::size_t>(K), 0);
  const auto offer = [&](std::int64_t channel) {
    const auto k = static_cast<std::size_t>(channel);
    if (taken[k] == orders[k].size()) return;
    const Removal& removal = orders[k][taken[k]++];
    queue.emplace(removal.cost * weight[k], removal.xi * K + channel);
  };
  for (std::int64_t k = 0; k < K; ++k) offer(k);
  while (!queue.empty()) {
    const std::int64_t row = std::get<1>(queue.top());
    queue.pop();
    place[static_cast<std::size_t>(row)] = rank++;
    offer(row % K);
  }
  return scores;
}

}  // namespace wins::refit
