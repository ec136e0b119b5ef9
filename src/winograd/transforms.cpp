#include "wins/winograd/transforms.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "wins/base/error.hpp"
#include "wins/winograd/exact.hpp"

namespace wins::winograd {
namespace {

Matrix rounded(const ExactMatrix& exact) {
  Matrix result{exact.rows, exact.cols, {}};
  result.values.reserve(exact.values.size());
  for (const Surd& value : exact.values) result.values.push_back(value.to_double());
  return result;
}

Algorithm make_algorithm(int m, int r, int stride) {
  const ExactAlgorithm exact = stride == 1 ? generate(m, r, interpolation_points(m + r - 1)) : strided_f23();
  require(identity_holds(exact), "winograd: F({},{}) with stride {} fails its identity", m, r, stride);
  return {m, r, rounded(exact.A), rounded(exact.B), rounded(exact.G), stride};
}

/// G g G^T for one filter, into out[i * p + j].
void transform_filter(const Algorithm& algorithm, const float* g, std::vector<double>& scratch, double* out) {
  const int p = algorithm.p();
  const int r = algorithm.r;
  for (int i = 0; i < p; ++i) {
    for (int x = 0; x < r; ++x) {
      double sum = 0;
      for (int y = 0; y < r; ++y) sum += algorithm.G(i, y) * static_cast<double>(g[y * r + x]);
      scratch[static_cast<std::size_t>(i * r + x)] = sum;
    }
  }
  for (int i = 0; i < p; ++i) {
    for (int j = 0; j < p; ++j) {
      double sum = 0;
      for (int x = 0; x < r; ++x) sum += scratch[static_cast<std::size_t>(i * r + x)] * algorithm.G(j, x);
      out[i * p + j] = sum;
    }
  }
}

/// factor[a][i][y] = A[i,a] B[y,i]: the 1-D part of the equivalent kernel.
std::vector<double> equivalent_factor(const Algorithm& algorithm) {
  const int p = algorithm.p();
  std::vector<double> factor;
  factor.reserve(static_cast<std::size_t>(algorithm.m * p * p));
  for (int a = 0; a < algorithm.m; ++a) {
    for (int i = 0; i < p; ++i) {
      for (int y = 0; y < p; ++y) factor.push_back(algorithm.A(i, a) * algorithm.B(y, i));
    }
  }
  return factor;
}

/// out[y][x] = sum_ij rows[i][y] cols[j][x] u[i][j]; `scratch` holds p * p.
void combine(int p, const double* rows, const double* cols, const double* u, double* scratch, double* out) {
  for (int i = 0; i < p; ++i) {
    for (int x = 0; x < p; ++x) {
      double sum = 0;
      for (int j = 0; j < p; ++j) sum += u[i * p + j] * cols[j * p + x];
      scratch[i * p + x] = sum;
    }
  }
  for (int y = 0; y < p; ++y) {
    for (int x = 0; x < p; ++x) {
      double sum = 0;
      for (int i = 0; i < p; ++i) sum += rows[i * p + y] * scratch[i * p + x];
      out[y * p + x] = sum;
    }
  }
}

}  // namespace

const Algorithm& algorithm(int m, int r, int stride) {
  require(stride == 1 || (stride == 2 && m == 2 && r == 3),
          "winograd: F({0}x{0}, {1}x{1}) with stride {2} is not supported (stride 2: F(2x2, 3x3) alone)", m, r, stride);
  require(m >= 1 && r >= 1 && m <= 10 && r <= 10 && m + r - 1 <= 10,
          "winograd: F({0}x{0}, {1}x{1}) is not supported (m >= 1, r >= 1, m + r - 1 <= 10)", m, r);
  static std::mutex mutex;
  static std::map<std::tuple<int, int, int>, std::unique_ptr<const Algorithm>> cache;
  const std::lock_guard lock(mutex);
  auto& entry = cache[{m, r, stride}];
  if (!entry) entry = std::make_unique<const Algorithm>(make_algorithm(m, r, stride));
  return *entry;
}

namespace {
/// Positions lie far apart in U, often by a power of two: written one filter at a time they throw
/// each other out of the cache.
constexpr std::int64_t kFiltersAtOnce = 64;
}  // namespace

Tensor transform_weights(const Algorithm& algorithm, const Tensor& weights) {
  require(weights.defined() && weights.dtype() == DType::f32 && weights.rank() == 4 &&
              weights.dim(2) == algorithm.r && weights.dim(3) == algorithm.r,
          "winograd: weights must be float32 K x C x {0} x {0}, not {1} {2}", algorithm.r,
          weights.defined() ? name_of(weights.dtype()) : "undefined", to_string(weights.shape()));
  const std::int64_t filters = weights.dim(0) * weights.dim(1);
  const int positions = algorithm.positions();
  Tensor result(DType::f32, {positions, weights.dim(0), weights.dim(1)});
  const auto in = weights.data<float>();
  const auto out = result.mutable_data<float>();
  std::vector<double> scratch(static_cast<std::size_t>(algorithm.p() * algorithm.r));
  std::vector<double> u(static_cast<std::size_t>(positions * kFiltersAtOnce));
  for (std::int64_t first = 0; first < filters; first += kFiltersAtOnce) {
    const std::int64_t count = std::min(kFiltersAtOnce, filters - first);
    for (std::int64_t f = 0; f < count; ++f) {
      transform_filter(algorithm, in.data() + (first + f) * algorithm.r * algorithm.r, scratch, u.data() + f * positions);
    }
    for (int xi = 0; xi < positions; ++xi) {
      float* to = out.data() + xi * filters + first;
      for (std::int64_t f = 0; f < count; ++f) to[f] = static_cast<float>(u[static_cast<std::size_t>(f * positions + xi)]);
    }
  }
  return result;
}

Tensor equivalent_convolution(const Algorithm& algorithm, const Tensor& U) {
  const int p = algorithm.p();
  const int m = algorithm.m;
  const int positions = algorithm.positions();
  require(U.defined() && U.dtype() == DType::f32 && U.rank() == 3 && U.dim(0) == positions,
          "winograd: U must be float32 {} x K x C, not {}", positions, to_string(U.shape()));
  const std::int64_t K = U.dim(1);
  const std::int64_t C = U.dim(2);
  Tensor result(DType::f32, {K * m * m, C, p, p});
  const auto in = U.data<float>();
  const auto out = result.mutable_data<float>();
  const std::vector<double> factor = equivalent_factor(algorithm);
  std::vector<double> u(static_cast<std::size_t>(positions));
  std::vector<double> scratch(u.size());
  std::vector<double> kernel(u.size());
  for (std::int64_t kc = 0; kc < K * C; ++kc) {
    const std::int64_t k = kc / C;
    const std::int64_t c = kc % C;
    for (int xi = 0; xi < positions; ++xi) {
      u[static_cast<std::size_t>(xi)] = static_cast<double>(in[static_cast<std::size_t>(xi * K * C + kc)]);
    }
    for (int ab = 0; ab < m * m; ++ab) {
      combine(p, factor.data() + ab / m * positions, factor.data() + ab % m * positions, u.data(), scratch.data(),
              kernel.data());
      float* target = out.data() + ((k * m * m + ab) * C + c) * positions;
      for (int xi = 0; xi < positions; ++xi) target[xi] = static_cast<float>(kernel[static_cast<std::size_t>(xi)]);
    }
  }
  return result;
}

TileGrid tile_grid(int m, std::int64_t out_h, std::int64_t out_w) {
  require(m >= 1 && out_h >= 0 && out_w >= 0, "winograd: no tiles of size {} on {} x {}", m, out_h, out_w);
  return {m, out_h, out_w, (out_h + m - 1) / m, (out_w + m - 1) / m};
}

}  // namespace wins::winograd
