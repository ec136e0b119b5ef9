#include "tensor_map.hpp"

#include <cuda_runtime_api.h>

namespace wins::runtime::cuda {
namespace {

/// Through the runtime, so that the driver's library is not linked.
template <class Function>
Function find(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
  if (status != cudaSuccess) cudaGetLastError();  // not for others to find
  return status == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<Function>(function) : nullptr;
}

CUtensorMapDataType type_of(Operand operand) {
  switch (operand) {
    case Operand::f16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case Operand::bf16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    default: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  }
}

CUtensorMapSwizzle swizzle_of(Swizzle swizzle) {
  switch (swizzle) {
    case Swizzle::bytes32: return CU_TENSOR_MAP_SWIZZLE_32B;
    case Swizzle::bytes64: return CU_TENSOR_MAP_SWIZZLE_64B;
    case Swizzle::bytes128: return CU_TENSOR_MAP_SWIZZLE_128B;
    default: return CU_TENSOR_MAP_SWIZZLE_NONE;
  }
}

/// Of an NHWC tensor, as the driver counts: the innermost first.
struct Extents {
  cuuint64_t shape[4], strides[3];

  template <class Mapping>
  explicit Extents(const Mapping& mapping) {
    for (std::size_t i = 0; i < 4; ++i) shape[i] = static_cast<cuuint64_t>(mapping.shape[3 - i]);
    strides[0] = static_cast<cuuint64_t>(mapping.pitch) * static_cast<cuuint64_t>(storage_bytes(mapping.operand));
    strides[1] = strides[0] * shape[1];
    strides[2] = strides[1] * shape[2];
  }
};

}  // namespace

bool encode(const TensorMapping& mapping, CUtensorMap& map) {
  static const auto function = find<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  if (function == nullptr) return false;
  const Extents extents(mapping);
  const auto& box = mapping.box;
  const cuuint32_t boxes[4] = {static_cast<cuuint32_t>(box[3]), static_cast<cuuint32_t>(box[2]), static_cast<cuuint32_t>(box[1]),
                               static_cast<cuuint32_t>(box[0])};
  const cuuint32_t ones[4] = {1, 1, 1, 1};
  return function(&map, type_of(mapping.operand), 4, const_cast<void*>(mapping.data), extents.shape, extents.strides, boxes, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  swizzle_of(mapping.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

bool encode(const PixelMapping& mapping, CUtensorMap& map) {
  static const auto function = find<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  if (function == nullptr) return false;
  const Extents extents(mapping);
  const int lower[2] = {mapping.first_x, mapping.first_y}, upper[2] = {mapping.last_x, mapping.last_y};
  const cuuint32_t strides[4] = {1, static_cast<cuuint32_t>(mapping.stride_x), static_cast<cuuint32_t>(mapping.stride_y), 1};
  return function(&map, type_of(mapping.operand), 4, const_cast<void*>(mapping.data), extents.shape, extents.strides, lower, upper,
                  static_cast<cuuint32_t>(mapping.channels), static_cast<cuuint32_t>(mapping.pixels), strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  swizzle_of(mapping.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace wins::runtime::cuda
