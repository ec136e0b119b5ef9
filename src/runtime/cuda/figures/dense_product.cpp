#include <array>

#include "../blas_owner.hpp"
#include "batched_product.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr std::size_t kWorkspace = 64U << 20;
constexpr int kAlgorithms = 8;

using Matrix = BlasOwner<cublasLtMatrixLayout_t>;

/// Column-major, as all of cuBLAS.
Matrix batched_matrix(std::int64_t rows, std::int64_t columns, std::int64_t positions) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), rows), "a matrix");
  Matrix owned(layout);
  const auto count = static_cast<std::int32_t>(positions);
  const std::int64_t stride = rows * columns;
  check(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)), "a batch");
  check(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof(stride)), "a batch");
  return owned;
}

/// One layout's descriptors and memory, shared by its algorithms.
struct Gemm {
  BlasOwner<cublasLtMatmulDesc_t> product;
  Matrix a, b, m;
  DeviceBuffer U, workspace;
  bool row_major;
};

/// Row-major M = U V is column-major M^T = V^T U^T of the same memory.
std::shared_ptr<Gemm> make_gemm(const ProductShape& shape, const Tensor& U, bool row_major) {
  auto gemm = std::make_shared<Gemm>();
  cublasLtMatmulDesc_t product = nullptr;
  check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product");
  gemm->product.reset(product);
  gemm->row_major = row_major;
  Matrix left = row_major ? batched_matrix(shape.inner, shape.rows, shape.positions) : batched_matrix(shape.rows, shape.inner, shape.positions);
  Matrix right = row_major ? batched_matrix(shape.columns, shape.inner, shape.positions) : batched_matrix(shape.inner, shape.columns, shape.positions);
  gemm->m = row_major ? batched_matrix(shape.columns, shape.rows, shape.positions) : batched_matrix(shape.rows, shape.columns, shape.positions);
  gemm->a = row_major ? std::move(right) : std::move(left);
  gemm->b = row_major ? std::move(left) : std::move(right);
  std::vector<float> values(U.data<float>().begin(), U.data<float>().end());
  if (!row_major) {
    const auto source = U.data<float>();
    std::size_t at = 0;
    for (std::int64_t xi = 0; xi < shape.positions; ++xi) {
      for (std::int64_t c = 0; c < shape.inner; ++c) {
        for (std::int64_t k = 0; k < shape.rows; ++k) values[at++] = source[static_cast<std::size_t>((xi * shape.rows + k) * shape.inner + c)];
      }
    }
  }
  gemm->U = DeviceBuffer(values.data(), values.size() * sizeof(float));
  gemm->workspace = DeviceBuffer(kWorkspace);
  return gemm;
}

}  // namespace

std::vector<BatchedProduct> dense_products(const ProductShape& shape, const Tensor& U, cublasLtHandle_t blas) {
  std::vector<BatchedProduct> products;
  for (const bool row_major : {true, false}) {
    const auto gemm = make_gemm(shape, U, row_major);
    cublasLtMatmulPreference_t raw = nullptr;
    check(cublasLtMatmulPreferenceCreate(&raw), "a preference");
    const BlasOwner<cublasLtMatmulPreference_t> preference(raw);
    check(cublasLtMatmulPreferenceSetAttribute(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof(kWorkspace)), "a preference");
    std::array<cublasLtMatmulHeuristicResult_t, kAlgorithms> found{};
    int count = 0;
    if (cublasLtMatmulAlgoGetHeuristic(blas, gemm->product.get(), gemm->a.get(), gemm->b.get(), gemm->m.get(), gemm->m.get(), raw, kAlgorithms,
                                       found.data(), &count) != CUBLAS_STATUS_SUCCESS) {
      continue;  // none in this layout
    }
    for (int i = 0; i < count; ++i) {
      const cublasLtMatmulAlgo_t algorithm = found[static_cast<std::size_t>(i)].algo;
      products.push_back({fmt::format("cublas {} {}", row_major ? "rows" : "columns", i), row_major,
                          [gemm, algorithm, blas](const void* V, void* M, cudaStream_t stream) {
                            const float one = 1, zero = 0;
                            const void *a = gemm->row_major ? V : gemm->U.data(), *b = gemm->row_major ? gemm->U.data() : V;
                            check(cublasLtMatmul(blas, gemm->product.get(), &one, a, gemm->a.get(), b, gemm->b.get(), &zero, M, gemm->m.get(), M,
                                                 gemm->m.get(), &algorithm, gemm->workspace.data(), kWorkspace, stream),
                                  "a product");
                          }});
    }
  }
  return products;
}

}  // namespace wins::runtime::cuda
