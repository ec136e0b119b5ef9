// Fully connected layers of few rows: weights are read once, as fast as memory gives them.
#include <algorithm>

#include "activation_step.hpp"
#include "kernels.hpp"
#include "launch_chain.cuh"
#include "linear_layer.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"

namespace wins::runtime::cuda {
namespace {

constexpr std::int64_t kMostRows = 4;
constexpr int kAhead = 4;  ///< units of 16 bytes of each column that a lane has on their way

/// Y[row][n] = activation(sum_k X[row][k] W[n][k] + bias[n]), `units` of 16 bytes in a row of X and of W.
struct VectorProduct {
  const uint4* x;
  const uint4* weights;
  const void* bias;
  void* y;
  int units, columns;
  bool relu;
};

/// A warp takes kColumns neighbouring columns, and its lanes their units in turn.
template <class T, int kRows, int kColumns>
class ColumnSums {
 public:
  __device__ ColumnSums(const VectorProduct& p, int first, int lane) : p_(p), next_(lane) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) weights_[c] = p.weights + static_cast<std::int64_t>(min(first + c, p.columns - 1)) * p.units;
    load();
  }

  __device__ void run() {
    while (next_ - kAhead * 32 < p_.units) {
      uint4 now[kAhead][kColumns];
#pragma unroll
      for (int i = 0; i < kAhead * kColumns; ++i) now[i / kColumns][i % kColumns] = ahead_[i / kColumns][i % kColumns];
      const int unit = next_ - kAhead * 32;
      load();
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (unit + i * 32 < p_.units) add(unit + i * 32, now[i]);
      }
    }
  }

  __device__ float sum(int row, int column) const {
    float total = sums_[row][column];
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) total += __shfl_xor_sync(0xFFFFFFFFU, total, apart);
    return total;
  }

 private:
  /// Asks for the next kAhead units; none behind the end.
  __device__ void load() {
#pragma unroll
    for (int i = 0; i < kAhead; ++i, next_ += 32) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        if (next_ < p_.units) ahead_[i][c] = __ldg(weights_[c] + next_);
      }
    }
  }

  __device__ void add(int unit, const uint4 (&weights)[kColumns]) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const uint4 pixels = p_.x[row * p_.units + unit];
      const T* x = reinterpret_cast<const T*>(&pixels);
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const T* w = reinterpret_cast<const T*>(&weights[c]);
#pragma unroll
        for (int e = 0; e < kUnit<T>; ++e) sums_[row][c] += to_float(x[e]) * to_float(w[e]);
      }
    }
  }

  const VectorProduct& p_;
  const uint4* weights_[kColumns];
  int next_;
  uint4 ahead_[kAhead][kColumns];
  float sums_[kRows][kColumns] = {};
};

template <class T, int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads) multiply_vectors(const __grid_constant__ VectorProduct p) {
  const int lane = static_cast<int>(threadIdx.x) % 32, first = static_cast<int>(first_index()) / 32 * kColumns;
  ColumnSums<T, kRows, kColumns> sums(p, first, lane);  // weights do not depend on what runs before
  let_successor_start();
  wait_for_predecessor();
  sums.run();
#pragma unroll
  for (int i = 0; i < kRows * kColumns; ++i) {
    const int row = i / kColumns, column = first + i % kColumns;
    float y = sums.sum(row, i % kColumns);
    if (lane != 0 || column >= p.columns) continue;
    y += to_float(static_cast<const T*>(p.bias)[column]);
    if (p.relu) y = y < 0 ? 0 : y;  // NaN stays
    static_cast<T*>(p.y)[row * p.columns + column] = from_float<T>(y);
  }
}

template <class T, int kRows>
bool launch(const VectorProduct& p, cudaStream_t stream) {
  // Two columns share what is read of X where there are warps enough for every multiprocessor.
  const bool pairs = p.columns >= 2 * (kThreads / 32) * device().processors;
  const int columns = kThreads / 32 * (pairs ? 2 : 1);
  const dim3 grid(static_cast<unsigned>((p.columns + columns - 1) / columns));
  return pairs ? launch_early(&multiply_vectors<T, kRows, 2>, grid, kThreads, 0, stream, p) : launch_early(&multiply_vectors<T, kRows, 1>, grid, kThreads, 0, stream, p);
}

bool launch(Operand operand, std::int64_t rows, const VectorProduct& p, cudaStream_t stream) {
  return with_storage(operand, [&]<class T>(std::type_identity<T>) {
    switch (rows) {
      case 1: return launch<T, 1>(p, stream);
      case 2: return launch<T, 2>(p, stream);
      case 3: return launch<T, 3>(p, stream);
      default: return launch<T, 4>(p, stream);
    }
  });
}

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_linear(problem)) return reason;
  if (linear_rows(problem) > kMostRows) return "more than " + std::to_string(kMostRows) + " rows";
  if (problem.input_shape(0).back() % problem.env.unit() != 0) return "rows that are no multiple of 16 bytes";
  if (element_count(problem.input_shape(1)) > INT32_MAX) return "2^31 weights or more";
  return std::nullopt;
}

double predict(const Problem& problem) {
  const auto weights = static_cast<double>(element_count(problem.input_shape(1)) * problem.env.element_bytes());
  return 2.5 + weights / (0.88 * device().bandwidth);
}

Implementation build(const Problem& problem) {
  const Environment& env = problem.env;
  const graph::Activation activation = linear_of(problem).activation;
  const Tensor weights = linear_weights(problem), row = linear_bias(problem);
  const auto matrix = upload(env, linear_key(problem), weights, plain_layout(weights.shape()));
  const auto bias = upload(env, linear_key(problem) + "/bias", row, plain_layout(row.shape()));
  Step after;
  if (activation.kind != graph::UnaryKind::identity && activation.kind != graph::UnaryKind::relu) after = activation_step(env, problem.outputs[0], activation);
  VectorProduct product{};
  product.weights = static_cast<const uint4*>(matrix->data());
  product.bias = bias->data();
  product.units = static_cast<int>(problem.input_shape(0).back() / env.unit());
  product.columns = static_cast<int>(problem.output_shape().back());
  product.relu = activation.kind == graph::UnaryKind::relu;
  Implementation result;
  result.name = "cuda:vector";
  result.reads = reads_first(problem, 1);
  result.weight_bytes = matrix->size() + bias->size();
  result.step = [product, matrix, bias, after, operand = env.operand, rows = linear_rows(problem)](const Arguments& arguments) {
    VectorProduct p = product;
    p.x = static_cast<const uint4*>(arguments.inputs[0]);
    p.y = arguments.outputs[0];
    if (!launch(operand, rows, p, arguments.stream)) check(cudaGetLastError(), "a product of vectors");
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel vector_kernel() { return {.name = "cuda:vector", .refuse = refuse, .predict = predict, .build = build, .takes_pixels = true}; }

}  // namespace wins::runtime::cuda
