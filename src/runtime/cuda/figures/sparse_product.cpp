#include <memory>
#include <vector>

#include "batched_product.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/cuda/csr.hpp"

namespace wins::runtime::cuda {
namespace {

template <class T>
DeviceBuffer on_device(const std::vector<T>& values) {
  return DeviceBuffer(values.data(), values.size() * sizeof(T));
}

/// U of one position as CSR, and what the first product with it leaves for the next ones.
class SparseWeights {
 public:
  SparseWeights(const CuSparse& sparse, const Csr& csr)
      : sparse_(sparse), offsets_(on_device(csr.offsets)), indices_(on_device(csr.indices)), values_(on_device(csr.values)) {
    sparse.check(sparse.create_csr(&matrix_, csr.rows, csr.columns, std::ssize(csr.values), offsets_.data(), indices_.data(), values_.data(),
                                   CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
                 "a sparse matrix");
  }
  ~SparseWeights() { sparse_.destroy_sparse(matrix_); }
  SparseWeights(const SparseWeights&) = delete;
  SparseWeights& operator=(const SparseWeights&) = delete;

  void multiply(cusparseDnMatDescr_t V, cusparseDnMatDescr_t M, cusparseSpMMAlg_t algorithm) {
    const float one = 1, zero = 0;
    constexpr auto kPlain = CUSPARSE_OPERATION_NON_TRANSPOSE;
    if (!ready_) {
      std::size_t bytes = 0;
      sparse_.check(sparse_.product_bytes(sparse_.handle, kPlain, kPlain, &one, matrix_, V, &zero, M, CUDA_R_32F, algorithm, &bytes), "a sparse product");
      workspace_ = DeviceBuffer(bytes);
      sparse_.check(sparse_.preprocess(sparse_.handle, kPlain, kPlain, &one, matrix_, V, &zero, M, CUDA_R_32F, algorithm, workspace_.data()),
                    "a sparse product");
      ready_ = true;
    }
    sparse_.check(sparse_.product(sparse_.handle, kPlain, kPlain, &one, matrix_, V, &zero, M, CUDA_R_32F, algorithm, workspace_.data()), "a sparse product");
  }

 private:
  const CuSparse& sparse_;
  DeviceBuffer offsets_, indices_, values_, workspace_;
  cusparseSpMatDescr_t matrix_ = nullptr;
  bool ready_ = false;
};

/// A descriptor of one position of V or M.
class DenseMatrix {
 public:
  DenseMatrix(const CuSparse& sparse, std::int64_t rows, std::int64_t columns, bool row_major, void* at) : sparse_(sparse) {
    sparse.check(sparse.create_dense(&matrix_, rows, columns, row_major ? columns : rows, at, CUDA_R_32F, row_major ? CUSPARSE_ORDER_ROW : CUSPARSE_ORDER_COL),
                 "a dense matrix");
  }
  ~DenseMatrix() { sparse_.destroy_dense(matrix_); }
  DenseMatrix(const DenseMatrix&) = delete;
  DenseMatrix& operator=(const DenseMatrix&) = delete;
  cusparseDnMatDescr_t get() const { return matrix_; }

 private:
  const CuSparse& sparse_;
  cusparseDnMatDescr_t matrix_ = nullptr;
};

/// One matrix for each position: a batch of cuSPARSE's gave wrong products here.
using Positions = std::vector<std::unique_ptr<SparseWeights>>;

Positions pack_weights(const ProductShape& shape, const Tensor& U, const CuSparse& sparse) {
  Positions positions;
  const auto plane = static_cast<std::size_t>(shape.rows * shape.inner);
  for (std::size_t xi = 0; xi < static_cast<std::size_t>(shape.positions); ++xi) {
    positions.push_back(std::make_unique<SparseWeights>(sparse, pack_csr(U.data<float>().subspan(xi * plane, plane), shape.rows, shape.inner)));
  }
  return positions;
}

void multiply(const ProductShape& shape, const CuSparse& sparse, Positions& weights, bool row_major, cusparseSpMMAlg_t algorithm, const void* V, void* M) {
  for (std::int64_t xi = 0; xi < shape.positions; ++xi) {
    auto* v = const_cast<float*>(static_cast<const float*>(V)) + xi * shape.inner * shape.columns;  // only read
    const DenseMatrix right(sparse, shape.inner, shape.columns, row_major, v);
    const DenseMatrix result(sparse, shape.rows, shape.columns, row_major, static_cast<float*>(M) + xi * shape.rows * shape.columns);
    weights[static_cast<std::size_t>(xi)]->multiply(right.get(), result.get(), algorithm);
  }
}

}  // namespace

std::vector<BatchedProduct> sparse_products(const ProductShape& shape, const Tensor& U, const CuSparse& sparse, cudaStream_t stream) {
  sparse.check(sparse.set_stream(sparse.handle, stream), "a stream");
  constexpr std::pair<cusparseSpMMAlg_t, const char*> kAlgorithms[] = {{CUSPARSE_SPMM_CSR_ALG1, "1"}, {CUSPARSE_SPMM_CSR_ALG2, "2"}};
  std::vector<BatchedProduct> products;
  for (const bool row_major : {true, false}) {
    for (const auto& [algorithm, name] : kAlgorithms) {
      // Weights of its own: what `preprocess` finds out stays with the descriptor.
      const auto weights = std::make_shared<Positions>(pack_weights(shape, U, sparse));
      products.push_back({fmt::format("cusparse {} csr_alg{}", row_major ? "rows" : "columns", name), row_major,
                          [=, &sparse](const void* V, void* M, cudaStream_t) { multiply(shape, sparse, *weights, row_major, algorithm, V, M); }});
    }
  }
  return products;
}

}  // namespace wins::runtime::cuda
