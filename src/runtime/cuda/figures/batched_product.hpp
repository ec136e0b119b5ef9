// M[xi] = U[xi] V[xi] for all positions at once, by the vendors' libraries.
#pragma once

#include <cublasLt.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../device.hpp"
#include "cusparse.hpp"
#include "wins/base/tensor.hpp"

namespace wins::runtime::cuda {

/// Positions, rows of U (those kept), columns of U, columns of V.
struct ProductShape {
  std::int64_t positions, rows, inner, columns;
};

/// A way to compute it. V and M are row-major or column-major, position by position.
struct BatchedProduct {
  std::string name;
  bool row_major;
  std::function<void(const void* V, void* M, cudaStream_t stream)> enqueue;
};

/// cuBLAS: both layouts, and the algorithms that its heuristics name first. `U` [positions, rows, inner].
std::vector<BatchedProduct> dense_products(const ProductShape& shape, const Tensor& U, cublasLtHandle_t blas);

/// cuSPARSE: both layouts and its algorithms for CSR that take a batch. Every position of `U` has the same number of entries that are
/// not zero. `sparse` outlives the products.
std::vector<BatchedProduct> sparse_products(const ProductShape& shape, const Tensor& U, const CuSparse& sparse, cudaStream_t stream);

}  // namespace wins::runtime::cuda
