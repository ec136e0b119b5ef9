#include "batched_product.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/cuda/csr.hpp"

namespace wins::runtime::cuda {
namespace {

/// All positions' CSR, one behind the other.
struct SparseWeights {
  const CuSparse& sparse;
  std::int64_t entries = 0;  ///< of one position
  DeviceBuffer offsets, indices, values;
  cusparseSpMatDescr_t matrix = nullptr;

  explicit SparseWeights(const CuSparse& library) : sparse(library) {}
  ~SparseWeights() {
    if (matrix != nullptr) sparse.destroy_sparse(matrix);
  }
  SparseWeights(const SparseWeights&) = delete;
  SparseWeights& operator=(const SparseWeights&) = delete;
};

template <class T>
DeviceBuffer on_device(const std::vector<T>& values) {
  return DeviceBuffer(values.data(), values.size() * sizeof(T));
}

std::shared_ptr<SparseWeights> pack_weights(const ProductShape& shape, const Tensor& U, const CuSparse& sparse) {
  auto weights = std::make_shared<SparseWeights>(sparse);
  Csr all;
  const auto plane = static_cast<std::size_t>(shape.rows * shape.inner);
  for (std::int64_t xi = 0; xi < shape.positions; ++xi) {
    const Csr one = pack_csr(U.data<float>().subspan(static_cast<std::size_t>(xi) * plane, plane), shape.rows, shape.inner);
    require(xi == 0 || std::ssize(one.values) == weights->entries, "position {} has {} weights, position 0 {}", xi, one.values.size(), weights->entries);
    weights->entries = std::ssize(one.values);
    all.offsets.insert(all.offsets.end(), one.offsets.begin(), one.offsets.end());
    all.indices.insert(all.indices.end(), one.indices.begin(), one.indices.end());
    all.values.insert(all.values.end(), one.values.begin(), one.values.end());
  }
  weights->offsets = on_device(all.offsets);
  weights->indices = on_device(all.indices);
  weights->values = on_device(all.values);
  sparse.check(sparse.create_csr(&weights->matrix, shape.rows, shape.inner, weights->entries, weights->offsets.data(), weights->indices.data(),
                                 weights->values.data(), CUSPARSE_INDEX_32I, CUSPARSE_INDEX_32I, CUSPARSE_INDEX_BASE_ZERO, CUDA_R_32F),
               "a sparse matrix");
  sparse.check(sparse.batch_csr(weights->matrix, static_cast<int>(shape.positions), shape.rows + 1, weights->entries), "a batch");
  return weights;
}

/// Descriptors of V and M; their memory comes with each run.
class DenseMatrix {
 public:
  DenseMatrix(const CuSparse& sparse, std::int64_t rows, std::int64_t columns, std::int64_t positions, bool row_major, void* at) : sparse_(sparse) {
    sparse.check(sparse.create_dense(&matrix_, rows, columns, row_major ? columns : rows, at, CUDA_R_32F, row_major ? CUSPARSE_ORDER_ROW : CUSPARSE_ORDER_COL),
                 "a dense matrix");
    sparse.check(sparse.batch_dense(matrix_, static_cast<int>(positions), rows * columns), "a batch");
  }
  ~DenseMatrix() { sparse_.destroy_dense(matrix_); }
  DenseMatrix(const DenseMatrix&) = delete;
  DenseMatrix& operator=(const DenseMatrix&) = delete;
  cusparseDnMatDescr_t get() const { return matrix_; }

 private:
  const CuSparse& sparse_;
  cusparseDnMatDescr_t matrix_ = nullptr;
};

/// What the first run leaves for the next ones.
struct Prepared {
  DeviceBuffer workspace;
  bool ready = false;
};

void multiply(const ProductShape& shape, const SparseWeights& weights, Prepared& prepared, bool row_major, cusparseSpMMAlg_t algorithm, const void* V,
              void* M) {
  const CuSparse& sparse = weights.sparse;
  const float one = 1, zero = 0;
  constexpr auto kPlain = CUSPARSE_OPERATION_NON_TRANSPOSE;
  const DenseMatrix v(sparse, shape.inner, shape.columns, shape.positions, row_major, const_cast<void*>(V));  // only read
  const DenseMatrix m(sparse, shape.rows, shape.columns, shape.positions, row_major, M);
  if (!prepared.ready) {
    std::size_t bytes = 0;
    sparse.check(sparse.product_bytes(sparse.handle, kPlain, kPlain, &one, weights.matrix, v.get(), &zero, m.get(), CUDA_R_32F, algorithm, &bytes),
                 "a sparse product");
    prepared.workspace = DeviceBuffer(bytes);
    sparse.check(sparse.preprocess(sparse.handle, kPlain, kPlain, &one, weights.matrix, v.get(), &zero, m.get(), CUDA_R_32F, algorithm,
                                   prepared.workspace.data()),
                 "a sparse product");
    prepared.ready = true;
  }
  sparse.check(sparse.product(sparse.handle, kPlain, kPlain, &one, weights.matrix, v.get(), &zero, m.get(), CUDA_R_32F, algorithm,
                              prepared.workspace.data()),
               "a sparse product");
}

}  // namespace

std::vector<BatchedProduct> sparse_products(const ProductShape& shape, const Tensor& U, const CuSparse& sparse, cudaStream_t stream) {
  sparse.check(sparse.set_stream(sparse.handle, stream), "a stream");
  constexpr std::pair<cusparseSpMMAlg_t, const char*> kAlgorithms[] = {{CUSPARSE_SPMM_CSR_ALG1, "1"}, {CUSPARSE_SPMM_CSR_ALG2, "2"}};
  std::vector<BatchedProduct> products;
  for (const bool row_major : {true, false}) {
    for (const auto& [algorithm, name] : kAlgorithms) {
      // Weights of its own: what `preprocess` finds out stays with the descriptor.
      const auto weights = pack_weights(shape, U, sparse);
      const auto prepared = std::make_shared<Prepared>();
      products.push_back({fmt::format("cusparse {} csr_alg{}", row_major ? "rows" : "columns", name), row_major,
                          [=](const void* V, void* M, cudaStream_t) { multiply(shape, *weights, *prepared, row_major, algorithm, V, M); }});
    }
  }
  return products;
}

}  // namespace wins::runtime::cuda
