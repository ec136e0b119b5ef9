#include "wins/winograd/transforms.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <span>
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

/// out[f] = sum_t factors[t] values[t * pitch + f], added up from t = 0 and rounded once when `To` is
/// float. Filters are the inner loop, of which the compiler makes vectors.
template <class To>
void combine_taps(std::span<const double> factors, const double* values, std::int64_t pitch, std::int64_t count,
                  To* out) {
  if (factors.size() == 3) {
    const double a = factors[0], b = factors[1], c = factors[2];
    const double *first = values, *second = values + pitch, *third = values + 2 * pitch;
    for (std::int64_t f = 0; f < count; ++f)
      out[f] = static_cast<To>(0.0 + a * first[f] + b * second[f] + c * third[f]);
    return;
  }
  for (std::int64_t f = 0; f < count; ++f) {
    double sum = 0;
    for (std::size_t t = 0; t < factors.size(); ++t) sum += factors[t] * values[static_cast<std::int64_t>(t) * pitch + f];
    out[f] = static_cast<To>(sum);
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

void transform_filters(const Algorithm& algorithm, const double* taps, std::int64_t count, float* const* out) {
  require(count >= 0 && count <= kFiltersAtOnce, "winograd: {} filters at once, at most {}", count, kFiltersAtOnce);
  const int p = algorithm.p(), r = algorithm.r;
  const auto factors = [&](int i) {
    return std::span(algorithm.G.values).subspan(static_cast<std::size_t>(i * r), static_cast<std::size_t>(r));
  };
  // One row of positions at a time: first down the columns x of the taps, then along them.
  std::vector<double> columns(static_cast<std::size_t>(r * count));
  for (int i = 0; i < p; ++i) {
    for (int x = 0; x < r; ++x)
      combine_taps(factors(i), taps + x * count, r * count, count, columns.data() + x * count);
    for (int j = 0; j < p; ++j) combine_taps(factors(j), columns.data(), count, count, out[i * p + j]);
  }
}

Tensor transform_weights(const Algorithm& algorithm, const Tensor& weights) {
  require(weights.defined() && weights.dtype() == DType::f32 && weights.rank() == 4 &&
              weights.dim(2) == algorithm.r && weights.dim(3) == algorithm.r,
          "winograd: weights must be float32 K x C x {0} x {0}, not {1} {2}", algorithm.r,
          weights.defined() ? name_of(weights.dtype()) : "undefined", to_string(weights.shape()));
  const std::int64_t filters = weights.dim(0) * weights.dim(1);
  const int positions = algorithm.positions();
  const int area = algorithm.r * algorithm.r;
  Tensor result(DType::f32, {positions, weights.dim(0), weights.dim(1)});
  const auto in = weights.data<float>();
  const auto values = result.mutable_data<float>();
  std::vector<double> taps(static_cast<std::size_t>(area * kFiltersAtOnce));
  std::vector<float*> out(static_cast<std::size_t>(positions));
  for (std::int64_t first = 0; first < filters; first += kFiltersAtOnce) {
    const std::int64_t count = std::min(kFiltersAtOnce, filters - first);
    for (std::int64_t f = 0; f < count; ++f) {
      for (int t = 0; t < area; ++t) {
        taps[static_cast<std::size_t>(t * count + f)] = static_cast<double>(in[static_cast<std::size_t>((first + f) * area + t)]);
      }
    }
    for (int xi = 0; xi < positions; ++xi) out[static_cast<std::size_t>(xi)] = values.data() + xi * filters + first;
    transform_filters(algorithm, taps.data(), count, out.data());
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
