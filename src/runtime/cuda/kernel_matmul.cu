// Every Gemm and MatMul in plain loops: tiles of 64 x 64 elements, whatever the strides of the operands.
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "storage.cuh"
#include "strided.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kTile = 64;   // rows and columns of a block
constexpr int kDepth = 16;  // of the sums, at a time
constexpr int kSide = 4;    // rows and columns of a thread, 16 apart

/// Elements of a matrix from one row and one column to the next.
struct MatrixStrides {
  std::uint32_t row = 0, column = 0;
};

struct Product {
  std::int32_t rows = 1, columns = 1, inner = 1;
  MatrixStrides a, b, c, y;
  StridedAxes<3> batch;  ///< y, a, b
  Divisor by_row_tiles, by_column_tiles;
  std::uint32_t blocks = 0;
  float alpha = 1, beta = 0;
  bool has_c = false, c_floats = false;  ///< a constant C is float32
  DeviceActivation activation;
};

/// A matrix's lines [first_line, + 64) at depths [first_depth, + 16), transposed and in float32, zeros outside.
template <class T>
__device__ void load_tile(float (&tile)[kDepth][kTile + 1], const T* from, int lines, int first_line, int inner, int first_depth,
                          std::uint32_t line_stride, std::uint32_t depth_stride) {
  const bool along_depth = depth_stride < line_stride;  // neighbouring threads, neighbouring elements
#pragma unroll
  for (int q = 0; q < kTile * kDepth / kThreads; ++q) {
    const int e = static_cast<int>(threadIdx.x) + q * kThreads;
    const int line = along_depth ? e / kDepth : e % kTile, depth = along_depth ? e % kDepth : e / kTile;
    const bool inside = first_line + line < lines && first_depth + depth < inner;
    const std::size_t at = static_cast<std::size_t>(first_line + line) * line_stride + static_cast<std::size_t>(first_depth + depth) * depth_stride;
    tile[depth][line] = inside ? to_float(from[at]) : 0.0F;
  }
}

/// `a` and `b` at the matrices of this block's batch.
template <class T>
__device__ void multiply(const Product& p, const T* a, const T* b, int first_row, int first_column, float (&sums)[kSide][kSide]) {
  __shared__ float left[kDepth][kTile + 1], right[kDepth][kTile + 1];
  const int row = static_cast<int>(threadIdx.x) / 16, column = static_cast<int>(threadIdx.x) % 16;
  for (int first = 0; first < p.inner; first += kDepth) {
    __syncthreads();
    load_tile(left, a, p.rows, first_row, p.inner, first, p.a.row, p.a.column);
    load_tile(right, b, p.columns, first_column, p.inner, first, p.b.column, p.b.row);
    __syncthreads();
#pragma unroll
    for (int l = 0; l < kDepth; ++l) {
#pragma unroll
      for (int i = 0; i < kSide; ++i) {
        const float factor = left[l][row + 16 * i];
#pragma unroll
        for (int j = 0; j < kSide; ++j) sums[i][j] += factor * right[l][column + 16 * j];
      }
    }
  }
}

/// beta times the element of C.
template <class T>
__device__ float addend(const Product& p, const void* c, int row, int column) {
  if (!p.has_c) return 0;
  const std::size_t at = static_cast<std::size_t>(row) * p.c.row + static_cast<std::size_t>(column) * p.c.column;
  return p.beta * (p.c_floats ? static_cast<const float*>(c)[at] : to_float(static_cast<const T*>(c)[at]));
}

template <class T>
__global__ void __launch_bounds__(kThreads) matmul_tiles(const __grid_constant__ Product p, const T* a, const T* b, const void* c, T* y) {
  std::uint32_t column_tile = blockIdx.x;
  std::uint32_t row_tile = p.by_column_tiles.divide(column_tile);
  const auto place = locate(p.batch, p.by_row_tiles.divide(row_tile));
  const int first_row = static_cast<int>(row_tile) * kTile, first_column = static_cast<int>(column_tile) * kTile;
  float sums[kSide][kSide] = {};
  if (!place.fill) multiply(p, a + place.offsets[1], b + place.offsets[2], first_row, first_column, sums);
#pragma unroll
  for (int i = 0; i < kSide; ++i) {
#pragma unroll
    for (int j = 0; j < kSide; ++j) {
      const int row = first_row + static_cast<int>(threadIdx.x) / 16 + 16 * i;
      const int column = first_column + static_cast<int>(threadIdx.x) % 16 + 16 * j;
      if (row >= p.rows || column >= p.columns) continue;
      const float value = place.fill ? 0.0F : apply(p.activation, p.alpha * sums[i][j] + addend<T>(p, c, row, column));
      y[place.offsets[0] + static_cast<std::size_t>(row) * p.y.row + static_cast<std::size_t>(column) * p.y.column] = from_float<T>(value);
    }
  }
}

/// The two strides of a matrix of rank 2 or more, or of a vector that stands for a row (or a column).
MatrixStrides matrix_strides(const Layout& layout, bool vector_is_row) {
  const std::size_t rank = layout.shape.size();
  const auto narrow = [](std::int64_t stride) { return static_cast<std::uint32_t>(stride); };
  if (rank >= 2) return {narrow(layout.strides[rank - 2]), narrow(layout.strides[rank - 1])};
  return vector_is_row ? MatrixStrides{0, narrow(layout.strides[0])} : MatrixStrides{narrow(layout.strides[0]), 0};
}

/// A layout without its last two axes.
Layout batch_of(const Layout& layout) {
  Layout batch = layout;
  const std::size_t rank = layout.shape.size() >= 2 ? layout.shape.size() - 2 : 0;
  batch.shape.resize(rank);
  batch.strides.resize(rank);
  return batch;
}

void cut(Product& p) {
  const std::int64_t row_tiles = (p.rows + kTile - 1) / kTile, column_tiles = (p.columns + kTile - 1) / kTile;
  p.by_row_tiles = Divisor(row_tiles);
  p.by_column_tiles = Divisor(column_tiles);
  p.blocks = static_cast<std::uint32_t>(p.batch.elements * row_tiles * column_tiles);
}

Product matmul_product(const Problem& problem) {
  const Layout &a = problem.inputs[0], &b = problem.inputs[1], &y = problem.outputs[0];
  const std::size_t rank = y.shape.size();
  const bool has_rows = a.shape.size() > 1, has_columns = b.shape.size() > 1;
  const std::size_t batch_rank = rank - (has_rows ? 1 : 0) - (has_columns ? 1 : 0);
  Product p;
  p.inner = static_cast<std::int32_t>(a.shape.back());
  if (has_rows) {
    p.rows = static_cast<std::int32_t>(y.shape[batch_rank]);
    p.y.row = static_cast<std::uint32_t>(y.strides[batch_rank]);
  }
  if (has_columns) {
    p.columns = static_cast<std::int32_t>(y.shape[rank - 1]);
    p.y.column = static_cast<std::uint32_t>(y.strides[rank - 1]);
  }
  p.a = matrix_strides(a, true);
  p.b = matrix_strides(b, false);
  const Layout a_batch = batch_of(a), b_batch = batch_of(b);
  std::vector<StridedAxis<3>> axes;
  for (std::size_t d = 0; d < batch_rank; ++d) {
    axes.push_back({y.shape[d],
                    {y.strides[d], broadcast_stride(a_batch, d, batch_rank), broadcast_stride(b_batch, d, batch_rank)},
                    has_fill(y, d, problem.env.unit())});
  }
  p.batch = make_strided(std::move(axes), problem.env.unit());
  return p;
}

Product gemm_product(const Problem& problem) {
  const auto& op = std::get<graph::Gemm>(problem.node.op);
  const Layout &a = problem.inputs[0], &b = problem.inputs[1], &y = problem.outputs[0];
  Product p;
  p.rows = static_cast<std::int32_t>(y.shape[0]);
  p.columns = static_cast<std::int32_t>(y.shape[1]);
  p.inner = static_cast<std::int32_t>(a.shape[op.trans_a ? 0 : 1]);
  p.a = matrix_strides(a, true);
  p.b = matrix_strides(b, true);
  p.y = matrix_strides(y, true);
  if (op.trans_a) std::swap(p.a.row, p.a.column);
  if (op.trans_b) std::swap(p.b.row, p.b.column);
  if (problem.has_input(2)) {
    const Layout c = plain_layout(problem.input_shape(2));
    p.c = {static_cast<std::uint32_t>(broadcast_stride(c, 0, 2)), static_cast<std::uint32_t>(broadcast_stride(c, 1, 2))};
    p.has_c = true;
    p.c_floats = problem.constant(2) != nullptr;
    p.beta = op.beta;
  }
  p.alpha = op.alpha;
  p.activation = device_activation(op.activation);
  return p;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_values(problem)) return reason;
  if (problem.node.as<graph::Gemm>() != nullptr && (problem.inputs[0].shape.size() != 2 || problem.inputs[1].shape.size() != 2)) return "not rank 2";
  if (problem.inputs[0].shape.empty() || problem.inputs[1].shape.empty()) return "no axes";
  return std::nullopt;
}

double predict(const Problem& problem) {
  const auto* gemm = problem.node.as<graph::Gemm>();
  const Shape& a = problem.input_shape(0);
  const std::int64_t inner = gemm != nullptr && gemm->trans_a ? a[0] : a.back();
  return predict_traffic(problem) + predict_loops(output_elements(problem) * static_cast<double>(inner), static_cast<double>(inner));
}

Implementation build(const Problem& problem) {
  Product p = problem.node.as<graph::Gemm>() != nullptr ? gemm_product(problem) : matmul_product(problem);
  cut(p);
  std::shared_ptr<const DeviceBuffer> constant;
  if (p.c_floats) {
    const std::vector<float> values = numbers(problem, 2);
    constant = upload_floats(problem.env, constant_key(problem, "cuda:matmul", "c", values), values);
  }
  Implementation result;
  result.name = "cuda:matmul";
  result.reads = reads_first(problem, p.c_floats ? 2 : 3);
  result.weights = {constant};
  result.step = with_storage(problem.env.operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [p, constant](const Arguments& arguments) {
      const void* c = constant ? constant->data() : p.has_c ? arguments.inputs[2] : nullptr;
      matmul_tiles<T><<<p.blocks, kThreads, 0, arguments.stream>>>(p, static_cast<const T*>(arguments.inputs[0]), static_cast<const T*>(arguments.inputs[1]),
                                                                   c, static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "a matrix product");
    };
  });
  return result;
}

}  // namespace

Kernel matmul_kernel() { return {"cuda:matmul", &refuse, &predict, &build}; }

}  // namespace wins::runtime::cuda
