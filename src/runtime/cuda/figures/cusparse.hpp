// cuSPARSE, opened when it is needed: linked in, every start of the tool would load its 160 MB.
#pragma once

#include <cusparse.h>

namespace wins::runtime::cuda {

/// The functions that are used, and a handle.
class CuSparse {
 public:
  /// Throws `Error` when there is no library of the version that this was built with.
  CuSparse();
  ~CuSparse();
  CuSparse(const CuSparse&) = delete;
  CuSparse& operator=(const CuSparse&) = delete;

  /// Throws `Error` naming what was tried.
  void check(cusparseStatus_t status, const char* what) const;
  int version() const;

  cusparseHandle_t handle = nullptr;
  decltype(&cusparseCreate) create = nullptr;
  decltype(&cusparseDestroy) destroy = nullptr;
  decltype(&cusparseGetVersion) get_version = nullptr;
  decltype(&cusparseSetStream) set_stream = nullptr;
  decltype(&cusparseGetErrorString) error_string = nullptr;
  decltype(&cusparseCreateCsr) create_csr = nullptr;
  decltype(&cusparseDestroySpMat) destroy_sparse = nullptr;
  decltype(&cusparseCreateDnMat) create_dense = nullptr;
  decltype(&cusparseDestroyDnMat) destroy_dense = nullptr;
  decltype(&cusparseSpMM_bufferSize) product_bytes = nullptr;
  decltype(&cusparseSpMM_preprocess) preprocess = nullptr;
  decltype(&cusparseSpMM) product = nullptr;
};

}  // namespace wins::runtime::cuda
