// Owners of cuBLASLt's descriptors.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <type_traits>

namespace wins::runtime::cuda {

struct DestroyBlas {
  void operator()(cublasLtMatmulDesc_t product) const { cublasLtMatmulDescDestroy(product); }
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const { cublasLtMatmulPreferenceDestroy(preference); }
};
template <class Handle>
using BlasOwner = std::unique_ptr<std::remove_pointer_t<Handle>, DestroyBlas>;

}  // namespace wins::runtime::cuda
