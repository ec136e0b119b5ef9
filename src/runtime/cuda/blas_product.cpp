#include "blas_product.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "device.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20;
constexpr int kMostAlgorithms = 8;

cudaDataType_t type_of(Operand operand) {
  return operand == Operand::f16 ? CUDA_R_16F : operand == Operand::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

template <class T>
void set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof(value)), "a product");
}

/// Of an algorithm; 0 where it has none.
template <class T>
T config(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value = 0;
  std::size_t written = 0;
  return cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written) == CUBLAS_STATUS_SUCCESS ? value : T{0};
}
std::uint32_t tile_of(const cublasLtMatmulAlgo_t& algorithm) { return config<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID); }
/// Of the kernels of compute capability 9.0.
bool has_cluster(const cublasLtMatmulAlgo_t& algorithm) { return config<std::uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID) != CUBLASLT_CLUSTER_SHAPE_AUTO; }

/// Columns by rows. Of so many rows the heuristics put 128x256 first, of which a multiprocessor holds one, whose outputs wait until all of its
/// sums are there; memory is what bounds such a product. Of 122 products of 20,000 to 400,000 rows in 16 bits the heuristics' first takes 25 % longer
/// than the fastest, this choice 2 % (H200; bench/layers/cuda.cpp times both).
std::vector<std::uint32_t> tiles_of_many_rows(const BlasShape& shape) {
  std::vector<std::uint32_t> tiles{CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_MATMUL_TILE_64x384, CUBLASLT_MATMUL_TILE_128x160,
                                   CUBLASLT_MATMUL_TILE_128x96,  CUBLASLT_MATMUL_TILE_64x512, CUBLASLT_MATMUL_TILE_64x256};
  if (shape.columns <= 64 || (shape.columns <= 128 && shape.rows < 60'000)) std::swap(tiles[0], tiles[1]);
  return tiles;
}

using Found = std::vector<cublasLtMatmulHeuristicResult_t>;

std::optional<int> find_16_bits(const BlasShape& shape, const Found& found) {
  const bool many_outputs = shape.rows * shape.columns >= 12'000'000;  // 12,544 of 256 to 1,024 with a residual: 25.6 us for 23.2
  if (shape.rows < 20'000 && !many_outputs) return std::nullopt;
  for (const std::uint32_t tile : shape.rows < 20'000 ? std::vector<std::uint32_t>{CUBLASLT_MATMUL_TILE_128x128} : tiles_of_many_rows(shape)) {
    const auto at = std::ranges::find_if(found, [tile](const auto& one) { return tile_of(one.algo) == tile; });
    if (at != found.end()) return static_cast<int>(at - found.begin());
  }
  return std::nullopt;
}

/// Now and then the heuristics put a kernel of compute capability 8.0 first, up to twice as slow (25,088 rows of 64 to 256 with a residual: 51 us for 23).
std::optional<int> find_tf32(const BlasShape& shape, const Found& found) {
  const double macs = static_cast<double>(shape.rows) * static_cast<double>(shape.inner) * static_cast<double>(shape.columns);
  const bool long_enough = shape.rows >= 6000 && shape.columns >= 64 && (macs > 4e8 || shape.residual_pitch > 0);
  if (!long_enough || has_cluster(found[0].algo)) return std::nullopt;
  const auto at = std::ranges::find_if(found, [](const auto& one) {
    const std::uint32_t tile = tile_of(one.algo);
    return has_cluster(one.algo) && (tile == CUBLASLT_MATMUL_TILE_128x128 || tile == CUBLASLT_MATMUL_TILE_64x128);
  });
  return at == found.end() ? std::nullopt : std::optional(static_cast<int>(at - found.begin()));
}

}  // namespace

BlasProduct::BlasProduct(cublasLtHandle_t handle, const BlasShape& shape, Operand operand, const void* bias) : handle_(handle), shape_(shape), operand_(operand) {
  describe(bias);
  find_algorithms();
}

/// cuBLAS's matrices are column-major, so that rows and columns change places.
void BlasProduct::describe(const void* bias) {
  const cudaDataType_t type = type_of(operand_);
  const cublasComputeType_t compute = operand_ == Operand::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublasLtMatmulDesc_t product = nullptr;
  check(cublasLtMatmulDescCreate(&product, compute, CUDA_R_32F), "a product");
  product_.reset(product);
  set(product, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, shape_.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
  if (bias != nullptr) set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const auto layout = [type](std::int64_t rows, std::int64_t columns, std::int64_t pitch) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), pitch), "a matrix");
    return BlasOwner<cublasLtMatrixLayout_t>(made);
  };
  weights_ = layout(shape_.inner, shape_.columns, shape_.inner);
  input_ = layout(shape_.inner, shape_.rows, shape_.input_pitch);
  output_ = layout(shape_.columns, shape_.rows, shape_.output_pitch);
  residual_ = layout(shape_.columns, shape_.rows, shape_.residual_pitch > 0 ? shape_.residual_pitch : shape_.output_pitch);
}

void BlasProduct::find_algorithms() {
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "a preference");
  const BlasOwner<cublasLtMatmulPreference_t> preference(raw);
  check(cublasLtMatmulPreferenceSetAttribute(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace, sizeof(kWorkspace)), "a preference");
  found_.resize(kMostAlgorithms);
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, product_.get(), weights_.get(), input_.get(), residual_.get(), output_.get(), raw, kMostAlgorithms, found_.data(), &count);
  found_.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(count) : 0);
}

std::vector<int> BlasProduct::order() const {
  std::vector<int> places(found_.size());
  std::iota(places.begin(), places.end(), 0);
  if (places.empty()) return places;
  const std::optional<int> preferred = operand_ == Operand::f32    ? std::nullopt
                                       : operand_ == Operand::tf32 ? find_tf32(shape_, found_)
                                                                   : find_16_bits(shape_, found_);
  if (preferred) std::rotate(places.begin(), places.begin() + *preferred, places.begin() + *preferred + 1);
  return places;
}

void BlasProduct::choose(int place) {
  if (place < 0 || static_cast<std::size_t>(place) >= found_.size()) throw Unsupported{"cuBLAS has no algorithm for it"};
  chosen_ = static_cast<std::size_t>(place);
}

void BlasProduct::enqueue(const void* weights, const void* input, const void* residual, void* output, void* workspace, cudaStream_t stream) const {
  const float one = 1, beta = shape_.residual_pitch > 0 ? 1.0F : 0.0F;
  const auto& algorithm = found_.at(chosen_);
  check(cublasLtMatmul(handle_, product_.get(), &one, weights, weights_.get(), input, input_.get(), &beta, shape_.residual_pitch > 0 ? residual : output, residual_.get(),
                       output, output_.get(), &algorithm.algo, workspace, algorithm.workspaceSize, stream),
        "a product");
}

}  // namespace wins::runtime::cuda
