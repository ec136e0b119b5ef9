// Fully connected layers of one row behind a ReLU: weights of inputs that are zero are not read.
#include <algorithm>

#include "activation_step.hpp"
#include "bulk_copy.cuh"
#include "kernels.hpp"
#include "launch_chain.cuh"
#include "linear_layer.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::UnaryKind;

constexpr int kBlockThreads = 256, kWarps = kBlockThreads / 32;
constexpr int kLanes = 8;      ///< that read an input's weights: 128 bytes, the columns of a cluster
constexpr int kSplits = 8;     ///< of the inputs: blocks of a cluster
constexpr int kTurn = 2048;    ///< inputs that a block looks at between two barriers
constexpr int kTogether = 6;   ///< loads on their way in each thread
/// Of the weights that are read, as far as nobody knows yet: half of the numbers are positive, and more of the largest ones of a pool.
constexpr double kDensity = 0.65;

/// y[n] = activation(sum_k x[k] W[k][n] + bias[n]), `units` of 16 bytes in a row of W; `slice` inputs a block.
struct NonzeroProduct {
  const void* x;
  const uint4* weights;
  const void* bias;
  void* y;
  int inner, slice, columns, units;
  bool relu;
};

/// An input that is not zero (or not a number).
struct Nonzero {
  float x;
  int k;
};

template <class T>
struct BlockMemory {
  Nonzero list[kTurn];
  int found[kWarps];
  float sums[kWarps][kLanes * kUnit<T>];
  alignas(16) float block_sums[kLanes * kUnit<T>];
};

/// The inputs from `begin` to before `end` that are not zero, in order, by all threads; `end` - `begin` is at most kTurn. Returns how many.
template <class T>
__device__ int list_nonzeros(const T* x, int begin, int end, BlockMemory<T>& memory) {
  constexpr int kInputs = kTurn / kBlockThreads;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, first = begin + thread * kInputs;
  float values[kInputs];
  unsigned marks = 0;
#pragma unroll
  for (int i = 0; i < kInputs; i += kUnit<T>) {
    float unit[kUnit<T>] = {};
    if (first + i < end) load_unit(x + first + i, unit);
#pragma unroll
    for (int e = 0; e < kUnit<T>; ++e) {
      values[i + e] = unit[e];
      marks |= (unit[e] != 0 ? 1U : 0U) << (i + e);
    }
  }
  const int own = __popc(marks);
  int before = own;  // with this thread's
#pragma unroll
  for (int apart = 1; apart < 32; apart *= 2) {
    const int other = __shfl_up_sync(0xFFFFFFFFU, before, apart);
    if (lane >= apart) before += other;
  }
  if (lane == 31) memory.found[thread / 32] = before;
  __syncthreads();
  int at = before - own, all = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    if (warp < thread / 32) at += memory.found[warp];
    all += memory.found[warp];
  }
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
    if ((marks >> i & 1U) != 0) memory.list[at++] = {values[i], first + i};
  }
  __syncthreads();
  return all;
}

/// Adds the products of a list: kLanes threads take one input after the other, kTogether of them at once.
template <class T>
__device__ void add_products(const Nonzero* list, int count, const uint4* weights, int units, float (&sums)[kUnit<T>]) {
  constexpr int kTakers = kBlockThreads / kLanes;
  for (int i = static_cast<int>(threadIdx.x) / kLanes; i < count; i += kTakers * kTogether) {
    uint4 loaded[kTogether];
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      const int at = i + j * kTakers;
      loaded[j] = at < count ? load_once(weights + static_cast<std::int64_t>(list[at].k) * units) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int j = 0; j < kTogether; ++j) {
      const int at = i + j * kTakers;
      const float x = at < count ? list[at].x : 0.0F;
      const T* w = reinterpret_cast<const T*>(&loaded[j]);
#pragma unroll
      for (int e = 0; e < kUnit<T>; ++e) sums[e] += x * to_float(w[e]);
    }
  }
}

/// The block's sums of all its columns, in memory.block_sums behind the next barrier.
template <class T>
__device__ void add_warps(const float (&sums)[kUnit<T>], BlockMemory<T>& memory) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
#pragma unroll
  for (int e = 0; e < kUnit<T>; ++e) {
    float sum = sums[e];
#pragma unroll
    for (int apart = kLanes; apart < 32; apart *= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, apart);
    if (lane < kLanes) memory.sums[thread / 32][lane * kUnit<T> + e] = sum;
  }
  __syncthreads();
  if (thread >= kLanes * kUnit<T>) return;
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += memory.sums[warp][thread];
  memory.block_sums[thread] = sum;
}

/// Four columns of the cluster from all its blocks.
template <class T>
__device__ void finish(const NonzeroProduct& p, std::uint32_t block_sums, int first_column) {
  const int column = static_cast<int>(threadIdx.x) * 4;
  uint4 parts[kSplits];
#pragma unroll
  for (int s = 0; s < kSplits; ++s) parts[s] = load_shared_of(s, block_sums + static_cast<std::uint32_t>(column) * 4);
  const auto* values = reinterpret_cast<const float(*)[4]>(parts);
#pragma unroll
  for (int c = 0; c < 4; ++c) {
    const int n = first_column + column + c;
    if (n >= p.columns) return;
    float y = to_float(static_cast<const T*>(p.bias)[n]);
#pragma unroll
    for (int s = 0; s < kSplits; ++s) y += values[s][c];
    if (p.relu) y = y < 0 ? 0 : y;  // NaN stays
    static_cast<T*>(p.y)[n] = from_float<T>(y);
  }
}

/// Blocks along x take columns; those of a cluster, along z, take inputs.
template <class T>
__global__ void __launch_bounds__(kBlockThreads, 5) multiply_nonzeros(const __grid_constant__ NonzeroProduct p) {
  __shared__ BlockMemory<T> memory;
  const int unit = static_cast<int>(blockIdx.x) * kLanes + static_cast<int>(threadIdx.x) % kLanes;
  const uint4* weights = p.weights + min(unit, p.units - 1);
  const int begin = block_in_cluster() * p.slice, end = min(begin + p.slice, p.inner);
  float sums[kUnit<T>] = {};
  let_successor_start();
  wait_for_predecessor();
  for (int turn = begin; turn < end; turn += kTurn) {
    const int count = list_nonzeros(static_cast<const T*>(p.x), turn, min(turn + kTurn, end), memory);
    add_products<T>(memory.list, count, weights, p.units, sums);
    __syncthreads();
  }
  add_warps<T>(sums, memory);
  meet_cluster();
  if (block_in_cluster() == 0 && threadIdx.x < kLanes * kUnit<T> / 4) {
    finish<T>(p, static_cast<std::uint32_t>(__cvta_generic_to_shared(memory.block_sums)), static_cast<int>(blockIdx.x) * kLanes * kUnit<T>);
  }
  __syncwarp();
  meet_cluster();  // no block ends before its sums are read
}

bool launch(Operand operand, const NonzeroProduct& p, cudaStream_t stream) {
  return with_storage(operand, [&]<class T>(std::type_identity<T>) {
    const dim3 grid(static_cast<unsigned>(divide_up(p.units, kLanes)), 1, kSplits);
    return launch_clusters_early(kSplits, &multiply_nonzeros<T>, grid, kBlockThreads, 0, stream, p);
  });
}

bool gives_zeros(const graph::Activation& activation) {
  return activation.kind == UnaryKind::relu || (activation.kind == UnaryKind::clip && activation.alpha == 0);
}

/// Whether a value is a ReLU's, perhaps by its largest ones or in another shape.
bool is_behind_relu(const graph::Graph& graph, graph::ValueId id) {
  while (const graph::Node* node = graph.producer(id)) {
    if (const auto* pool = node->as<graph::Pool>(); pool != nullptr && pool->kind != graph::Pool::Kind::max) return false;
    if (const auto* conv = node->as<graph::Conv>()) return gives_zeros(conv->activation);
    if (const auto* conv = node->as<graph::WinogradConv>()) return gives_zeros(conv->activation);
    if (const auto* gemm = node->as<graph::Gemm>()) return gives_zeros(gemm->activation);
    if (const auto* binary = node->as<graph::Binary>()) return gives_zeros(binary->activation);
    if (const auto* unary = node->as<graph::Unary>()) return gives_zeros(unary->function);
    const bool same_values = node->as<graph::Pool>() || node->as<graph::Flatten>() || node->as<graph::Reshape>() || node->as<graph::Squeeze>() || node->as<graph::Unsqueeze>();
    if (!same_values) return false;
    id = node->inputs.at(0);
  }
  return false;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (device().major < 9) return "no clusters of blocks on this device";
  if (auto reason = refuse_linear(problem)) return reason;
  if (linear_rows(problem) > 1) return "more than one row";
  if (!is_behind_relu(problem.env.graph, problem.node.inputs.at(0))) return "no ReLU before it";
  if (problem.input_shape(0).back() % problem.env.unit() != 0) return "rows that are no multiple of 16 bytes";
  if (element_count(problem.input_shape(1)) > INT32_MAX) return "2^31 weights or more";
  return std::nullopt;
}

double predict(const Problem& problem) {
  const auto weights = static_cast<double>(element_count(problem.input_shape(1)) * problem.env.element_bytes());
  return 4 + kDensity * weights / (0.8 * device().bandwidth);
}

/// [inner][columns], rows of whole units.
Tensor transposed(const Tensor& weights, std::int64_t unit) {
  const std::int64_t columns = weights.dim(0), inner = weights.dim(1), pitch = divide_up(columns, unit) * unit;
  Tensor result(DType::f32, {inner, pitch});
  const auto from = weights.data<float>();
  auto to = result.mutable_data<float>();
  for (std::int64_t k = 0; k < inner; ++k) {
    for (std::int64_t n = 0; n < columns; ++n) to[static_cast<std::size_t>(k * pitch + n)] = from[static_cast<std::size_t>(n * inner + k)];
  }
  return result;
}

Implementation build(const Problem& problem) {
  const Environment& env = problem.env;
  const graph::Activation activation = linear_of(problem).activation;
  const Tensor row = linear_bias(problem);
  const auto matrix = upload(env, linear_key(problem) + "/transposed", [&] { return transposed(linear_weights(problem), env.unit()); });
  const auto bias = upload(env, linear_key(problem) + "/bias", row, plain_layout(row.shape()));
  Step after;
  if (activation.kind != UnaryKind::identity && activation.kind != UnaryKind::relu) after = activation_step(env, problem.outputs[0], activation);
  NonzeroProduct product{};
  product.weights = static_cast<const uint4*>(matrix->data());
  product.bias = bias->data();
  product.inner = static_cast<int>(problem.input_shape(0).back());
  const int unit = static_cast<int>(env.unit());
  product.slice = divide_up(divide_up(product.inner, kSplits), unit) * unit;
  product.columns = static_cast<int>(problem.output_shape().back());
  product.units = divide_up(product.columns, unit);
  product.relu = activation.kind == UnaryKind::relu;
  Implementation result;
  result.name = "cuda:nonzeros";
  result.reads = reads_first(problem, 1);
  result.weights = {matrix, bias};
  result.step = [product, matrix, bias, after, operand = env.operand](const Arguments& arguments) {
    NonzeroProduct p = product;
    p.x = arguments.inputs[0];
    p.y = arguments.outputs[0];
    if (!launch(operand, p, arguments.stream)) check(cudaGetLastError(), "a product of a row's nonzeros");
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel nonzeros_kernel() { return {.name = "cuda:nonzeros", .refuse = refuse, .predict = predict, .build = build, .takes_pixels = true}; }

}  // namespace wins::runtime::cuda
