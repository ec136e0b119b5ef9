// Time of a Winograd layer's products against the share of weights removed, one by one and by rows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "../event.hpp"
#include "batched_product.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/backend.hpp"
#include "wins/runtime/cuda/csr.hpp"
#include "wins/runtime/cuda/figures.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr std::int64_t kBlock = (1 << 20) + 7;  ///< floats of V that repeat; no multiple of a row
constexpr double kBound = 1e-5;                 ///< relative L2 of columns of M
constexpr int kBurst = 4;                       ///< products between two events

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Of a random layer.
Tensor random_weights(const GemmCurveProblem& problem) {
  return winograd::transform_weights(winograd::algorithm(2, 3), random_normal({problem.filters, problem.channels, 3, 3}, problem.seed + 1));
}

/// V and M on the device, and what V holds.
class Operands {
 public:
  Operands(const ProductShape& largest, std::uint64_t seed) : block_(random_normal({kBlock}, seed)), V_(bytes(largest.inner, largest)), M_(bytes(largest.rows, largest)) {
    auto* to = static_cast<std::byte*>(V_.data());
    check(cudaMemcpy(to, block_.bytes(), std::min(block_.byte_size(), V_.size()), cudaMemcpyHostToDevice), "random input");
    for (std::size_t at = block_.byte_size(); at < V_.size(); at += block_.byte_size()) {
      check(cudaMemcpy(to + at, to, std::min(block_.byte_size(), V_.size() - at), cudaMemcpyDeviceToDevice), "random input");
    }
    check(cudaDeviceSynchronize(), "random input");
  }

  const void* V() const { return V_.data(); }
  void* M() const { return M_.data(); }

  /// Runs once over poisoned memory. Throws `Error` when sampled columns of M are not those of U V.
  void verify(const BatchedProduct& product, const ProductShape& shape, const Tensor& U, cudaStream_t stream) const {
    check(cudaMemsetAsync(M(), 0xFF, M_.size(), stream), "poison");
    product.enqueue(V(), M(), stream);
    check(cudaStreamSynchronize(stream), product.name.c_str());
    for (const std::int64_t xi : {std::int64_t{0}, shape.positions - 1}) {
      for (const std::int64_t p : {std::int64_t{0}, shape.columns / 2, shape.columns - 1}) check_column(product, shape, U, xi, p);
    }
  }

 private:
  static std::size_t bytes(std::int64_t rows, const ProductShape& shape) {
    return static_cast<std::size_t>(shape.positions * rows * shape.columns) * sizeof(float);
  }

  void check_column(const BatchedProduct& product, const ProductShape& shape, const Tensor& U, std::int64_t xi, std::int64_t p) const {
    const auto rows = static_cast<std::size_t>(shape.rows);
    std::vector<float> got(rows);
    const auto* from = static_cast<const float*>(M()) + xi * shape.rows * shape.columns + (product.row_major ? p : p * shape.rows);
    const std::size_t pitch = product.row_major ? static_cast<std::size_t>(shape.columns) * sizeof(float) : sizeof(float);
    check(cudaMemcpy2D(got.data(), sizeof(float), from, pitch, sizeof(float), rows, cudaMemcpyDeviceToHost), "a column of the product");
    const auto block = block_.data<float>(), weights = U.data<float>();
    double error = 0, size = 0;
    for (std::int64_t k = 0; k < shape.rows; ++k) {
      double sum = 0;
      for (std::int64_t c = 0; c < shape.inner; ++c) {
        const std::int64_t at = xi * shape.inner * shape.columns + (product.row_major ? c * shape.columns + p : p * shape.inner + c);
        sum += static_cast<double>(weights[static_cast<std::size_t>((xi * shape.rows + k) * shape.inner + c)]) *
               static_cast<double>(block[static_cast<std::size_t>(at % kBlock)]);
      }
      error += std::pow(static_cast<double>(got[static_cast<std::size_t>(k)]) - sum, 2);
      size += sum * sum;
    }
    const double relative = std::sqrt(error / size);
    if (!(relative <= kBound)) fail("{}: its product is off by {:.1e}", product.name, relative);
  }

  Tensor block_;
  DeviceBuffer V_, M_;
};

struct Chosen {
  BatchedProduct product;
  std::vector<double> times = {};
};

/// Everything that the points share.
class Curve {
 public:
  Curve(const GemmCurveProblem& problem, const ProductShape& shape)
      : problem_(problem), shape_(shape), operands_(shape, problem.seed),
        U_(random_weights(problem)),
        dense_(choose(dense_products(shape_, U_, libraries_.blas()), shape_, U_)) {}

  int cusparse_version() const { return sparse_.version(); }

  GemmCurvePoint measure(double ratio) {
    const auto kept_rows = std::max<std::int64_t>(1, std::llround(static_cast<double>(shape_.rows) * (1 - ratio)));
    ProductShape less = shape_;
    less.rows = kept_rows;
    const Tensor sparse_weights = without_weights(ratio), fewer_rows = first_rows(kept_rows);
    Chosen dense = dense_;
    Chosen irregular = choose(sparse_products(shape_, sparse_weights, sparse_, stream_.get()), shape_, sparse_weights);
    Chosen regular = choose(dense_products(less, fewer_rows, libraries_.blas()), less, fewer_rows);
    for (int round = 0; round < problem_.rounds; ++round) {
      for (Chosen* side : {&dense, &irregular, &regular}) side->times.push_back(time(side->product, kBurst));
    }
    return {ratio, median(dense.times), median(irregular.times), median(regular.times), irregular.product.name, regular.product.name};
  }

 private:
  double time(const BatchedProduct& product, int count) const {
    const auto products = [&] {
      for (int i = 0; i < count; ++i) product.enqueue(operands_.V(), operands_.M(), stream_.get());
    };
    return time_on_stream(stream_.get(), products) / count;
  }

  /// The fastest of several ways; each is checked first, and left out where its library does not take it.
  Chosen choose(const std::vector<BatchedProduct>& products, const ProductShape& shape, const Tensor& U) const {
    std::string reason = "no algorithm";
    const BatchedProduct* best = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (const BatchedProduct& product : products) {
      try {
        operands_.verify(product, shape, U, stream_.get());
      } catch (const Error& error) {
        reason = error.what();
        continue;
      }
      const double us = std::min(time(product, 1), time(product, 1));
      if (us < least) std::tie(least, best) = std::pair(us, &product);
    }
    require(best != nullptr, "a product {}x{} by {}x{}: {}", shape.rows, shape.inner, shape.inner, shape.columns, reason);
    return {*best};
  }

  /// U with the same number of its largest weights in every position.
  Tensor without_weights(double ratio) const {
    Tensor U = U_;
    const auto plane = static_cast<std::size_t>(shape_.rows * shape_.inner);
    const auto kept = std::max<std::int64_t>(1, std::llround(static_cast<double>(plane) * (1 - ratio)));
    for (std::size_t xi = 0; xi < static_cast<std::size_t>(shape_.positions); ++xi) keep_largest(U.mutable_data<float>().subspan(xi * plane, plane), kept);
    return U;
  }

  /// Which rows stay changes no time.
  Tensor first_rows(std::int64_t rows) const {
    Tensor U(DType::f32, {shape_.positions, rows, shape_.inner});
    const auto from = U_.data<float>();
    const auto to = U.mutable_data<float>();
    const auto count = static_cast<std::ptrdiff_t>(rows * shape_.inner), plane = static_cast<std::ptrdiff_t>(shape_.rows * shape_.inner);
    for (std::ptrdiff_t xi = 0; xi < shape_.positions; ++xi) std::copy_n(from.begin() + xi * plane, count, to.begin() + xi * count);
    return U;
  }

  const GemmCurveProblem& problem_;
  const ProductShape shape_;
  const CuSparse sparse_;
  const Libraries libraries_;
  const Stream stream_;
  const Operands operands_;
  const Tensor U_;
  const Chosen dense_;
};

}  // namespace

GemmCurve measure_gemm_curve(const GemmCurveProblem& problem) {
  const std::string reason = make_cuda_backend()->unavailable();
  require(reason.empty(), "this figure needs a GPU: {}", reason);
  require(problem.batch > 0 && problem.rounds > 0, "a figure over {} pictures in {} rounds is not possible", problem.batch, problem.rounds);
  for (const double ratio : problem.ratios) require(ratio >= 0 && ratio < 1, "ratio {} is outside [0, 1)", ratio);
  const std::int64_t tiles = problem.batch * winograd::tile_grid(2, problem.height, problem.width).count();
  const ProductShape shape{winograd::algorithm(2, 3).positions(), problem.filters, problem.channels, tiles};
  Curve measured(problem, shape);
  GemmCurve curve;
  curve.device = device().name;
  curve.cublas = fmt::format("{}", cublasLtGetVersion());
  curve.cusparse = fmt::format("{}", measured.cusparse_version());
  curve.positions = shape.positions;
  curve.tiles = tiles;
  for (const double ratio : problem.ratios) curve.points.push_back(measured.measure(ratio));
  return curve;
}

}  // namespace wins::runtime::cuda
