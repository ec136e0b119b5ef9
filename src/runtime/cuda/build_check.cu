#include "build_check.hpp"

namespace wins::runtime::cuda {
namespace {

__global__ void nothing() {}

}  // namespace

cudaError_t find_device_code() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, nothing);
}

}  // namespace wins::runtime::cuda
