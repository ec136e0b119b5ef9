// Products with bias, residual and ReLU through cuBLASLt, and which of its algorithms runs one.
#pragma once

#include <cstdint>
#include <vector>

#include "blas_owner.hpp"
#include "kernel.hpp"

namespace wins::runtime::cuda {

/// Y[row][n] = activation(sum_k X[row][k] W[n][k] + bias[n] + R[row][n]); pitches between rows, in elements.
struct BlasShape {
  std::int64_t rows = 0, inner = 0, columns = 0;
  std::int64_t input_pitch = 0, output_pitch = 0, residual_pitch = 0;  ///< residual 0: none
  bool relu = false;
};

class BlasProduct {
 public:
  /// `bias`: `columns` values on the device; may be null where the product does not run.
  BlasProduct(cublasLtHandle_t handle, const BlasShape& shape, Operand operand, const void* bias);

  /// cuBLAS's algorithms for it, by their place in its heuristics; the one that we expect to be fastest first. Empty: it has none.
  std::vector<int> order() const;
  /// Takes the algorithm at a place of the heuristics; Unsupported if there is none.
  void choose(int place);
  int place() const { return static_cast<int>(chosen_); }
  std::size_t workspace_bytes() const { return found_.at(chosen_).workspaceSize; }

  /// Pointers to the device; `residual` is read where the shape has one.
  void enqueue(const void* weights, const void* input, const void* residual, void* output, void* workspace, cudaStream_t stream) const;

 private:
  cublasLtHandle_t handle_;
  BlasShape shape_;
  Operand operand_;
  BlasOwner<cublasLtMatmulDesc_t> product_;
  BlasOwner<cublasLtMatrixLayout_t> weights_, input_, residual_, output_;
  std::vector<cublasLtMatmulHeuristicResult_t> found_;
  std::size_t chosen_ = 0;

  void describe(const void* bias);
  void find_algorithms();
};

}  // namespace wins::runtime::cuda
