#include "cusparse.hpp"

#include <dlfcn.h>

#include <string>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  require(function != nullptr, "cuSPARSE has no {}", name);
}

}  // namespace

CuSparse::CuSparse() {
  const std::string file = fmt::format("libcusparse.so.{}", CUSPARSE_VER_MAJOR);
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: it registers itself with CUDA
  require(library != nullptr, "cuSPARSE cannot be opened: {}", library == nullptr ? ::dlerror() : "");
  find(library, "cusparseCreate", create);
  find(library, "cusparseDestroy", destroy);
  find(library, "cusparseGetVersion", get_version);
  find(library, "cusparseSetStream", set_stream);
  find(library, "cusparseGetErrorString", error_string);
  find(library, "cusparseCreateCsr", create_csr);
  find(library, "cusparseDestroySpMat", destroy_sparse);
  find(library, "cusparseCreateDnMat", create_dense);
  find(library, "cusparseDestroyDnMat", destroy_dense);
  find(library, "cusparseSpMM_bufferSize", product_bytes);
  find(library, "cusparseSpMM_preprocess", preprocess);
  find(library, "cusparseSpMM", product);
  check(create(&handle), "a handle");
}

CuSparse::~CuSparse() { destroy(handle); }

void CuSparse::check(cusparseStatus_t status, const char* what) const {
  require(status == CUSPARSE_STATUS_SUCCESS, "{}: cuSPARSE says {}", what, error_string(status));
}

int CuSparse::version() const {
  int version = 0;
  check(get_version(handle, &version), "its version");
  return version;
}

}  // namespace wins::runtime::cuda
