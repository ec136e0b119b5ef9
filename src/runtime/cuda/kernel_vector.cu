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
constexpr int kColumns = 4;  ///< of a block, a warp each

/// Y[row][n] = activation(sum_k X[row][k] W[n][k] + bias[n]), `units` of 16 bytes in a row of X and of W.
struct VectorProduct {
  const uint4* x;
  const uint4* weights;
  const void* bias;
  void* y;
  int units, columns;
  bool relu;
};

/// The sums of a warp's column, whose lanes take its units in turn, kTogether at once: what hides the latency is that many on their way in each of the warps
/// of a multiprocessor.
template <class T, int kRows>
class ColumnSums {
 public:
  __device__ ColumnSums(const VectorProduct& p, int column, int lane) : p_(p), weights_(p.weights + static_cast<std::int64_t>(column) * p.units), unit_(lane) { load(); }

  __device__ void run() {
    while (true) {
      add_all();
      unit_ += kTogether * 32;
      if (unit_ >= p_.units) return;
      load();
    }
  }

  __device__ float sum(int row) const {
    float total = sums_[row];
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) total += __shfl_xor_sync(0xFFFFFFFFU, total, apart);
    return total;
  }

 private:
  static constexpr int kTogether = kRows == 1 ? 8 : 4;

  __device__ void load() {
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const int unit = unit_ + i * 32;
      loaded_[i] = unit < p_.units ? load_once(weights_ + unit) : uint4{0, 0, 0, 0};
    }
  }

  __device__ void add_all() {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      uint4 pixels[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int unit = unit_ + i * 32;
        pixels[i] = unit < p_.units ? p_.x[row * p_.units + unit] : uint4{0, 0, 0, 0};
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) add(pixels[i], loaded_[i], sums_[row]);
    }
  }

  static __device__ void add(const uint4& pixels, const uint4& weights, float& sum) {
    const T* x = reinterpret_cast<const T*>(&pixels);
    const T* w = reinterpret_cast<const T*>(&weights);
#pragma unroll
    for (int e = 0; e < kUnit<T>; ++e) sum += to_float(x[e]) * to_float(w[e]);
  }

  const VectorProduct& p_;
  const uint4* weights_;
  int unit_;
  uint4 loaded_[kTogether];
  float sums_[kRows] = {};
};

template <class T, int kRows>
__global__ void __launch_bounds__(32 * kColumns) multiply_vectors(const __grid_constant__ VectorProduct p) {
  const int lane = static_cast<int>(threadIdx.x) % 32, column = static_cast<int>(blockIdx.x) * kColumns + static_cast<int>(threadIdx.x) / 32;
  ColumnSums<T, kRows> sums(p, min(column, p.columns - 1), lane);  // weights do not depend on what runs before
  let_successor_start();
  wait_for_predecessor();
  sums.run();
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    float y = sums.sum(row);
    if (lane != 0 || column >= p.columns) continue;
    y += to_float(static_cast<const T*>(p.bias)[column]);
    if (p.relu) y = y < 0 ? 0 : y;  // NaN stays
    static_cast<T*>(p.y)[row * p.columns + column] = from_float<T>(y);
  }
}

template <class T, int kRows>
bool launch(const VectorProduct& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((p.columns + kColumns - 1) / kColumns));
  return launch_early(&multiply_vectors<T, kRows>, grid, 32 * kColumns, 0, stream, p);
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
  const Tensor row = linear_bias(problem);
  const auto matrix = upload(env, linear_key(problem), [&] { return linear_weights(problem); });
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
  result.weights = {matrix, bias};
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
