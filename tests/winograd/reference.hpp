// Independent float64 loops that the tests compare with.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/winograd/transforms.hpp"

namespace wins::winograd::testing {

/// One plane in, one plane out, `valid` correlation, C channels: y[a][b] = sum d[c][a+y][b+x] g[c][y][x].
inline std::vector<double> correlate(const std::vector<double>& d, const std::vector<double>& g, int channels, int in,
                                     int r) {
  const int out = in - r + 1;
  std::vector<double> y(static_cast<std::size_t>(out * out), 0.0);
  for (int c = 0; c < channels; ++c) {
    for (int a = 0; a < out; ++a) {
      for (int b = 0; b < out; ++b) {
        double sum = 0;
        for (int u = 0; u < r; ++u) {
          for (int v = 0; v < r; ++v) {
            sum += d[static_cast<std::size_t>((c * in + a + u) * in + b + v)] *
                   g[static_cast<std::size_t>((c * r + u) * r + v)];
          }
        }
        y[static_cast<std::size_t>(a * out + b)] += sum;
      }
    }
  }
  return y;
}

/// left^T X right in arithmetic T; left and right n x q, X n x n; result q x q.
template <class T>
std::vector<T> sandwich(const Matrix& left, const std::vector<T>& x) {
  const int n = left.rows;
  const int q = left.cols;
  std::vector<T> half(static_cast<std::size_t>(q * n));
  std::vector<T> out(static_cast<std::size_t>(q * q));
  for (int i = 0; i < q; ++i) {
    for (int j = 0; j < n; ++j) {
      T sum = 0;
      for (int y = 0; y < n; ++y) sum += static_cast<T>(left(y, i)) * x[static_cast<std::size_t>(y * n + j)];
      half[static_cast<std::size_t>(i * n + j)] = sum;
    }
  }
  for (int i = 0; i < q; ++i) {
    for (int j = 0; j < q; ++j) {
      T sum = 0;
      for (int x2 = 0; x2 < n; ++x2) sum += half[static_cast<std::size_t>(i * n + x2)] * static_cast<T>(left(x2, j));
      out[static_cast<std::size_t>(i * q + j)] = sum;
    }
  }
  return out;
}

/// One output tile, m x m, from C input tiles p x p and U (xi-major: U[xi * C + c]), in T.
template <class T>
std::vector<T> winograd_tile(const Algorithm& algorithm, const std::vector<T>& d, const std::vector<T>& U,
                             int channels) {
  const auto positions = static_cast<std::size_t>(algorithm.positions());
  std::vector<T> product(positions, T(0));
  for (int c = 0; c < channels; ++c) {
    const auto first = d.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(c) * positions);
    const std::vector<T> tile(first, first + static_cast<std::ptrdiff_t>(positions));
    const std::vector<T> V = sandwich(algorithm.B, tile);
    for (std::size_t xi = 0; xi < positions; ++xi) {
      product[xi] += U[xi * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)] * V[xi];
    }
  }
  return sandwich(algorithm.A, product);
}

}  // namespace wins::winograd::testing
