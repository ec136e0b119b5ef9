#include "tensor_map.hpp"

#include <cuda_runtime_api.h>

namespace wins::runtime::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// Through the runtime, so that the driver's library is not linked.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (status != cudaSuccess) cudaGetLastError();  // not for others to find
  return status == cudaSuccess && found == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(function) : nullptr;
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

}  // namespace

bool encode(const TensorMapping& mapping, CUtensorMap& map) {
  static const Encode function = find_encode();
  if (function == nullptr) return false;
  const auto at = [](std::int32_t x) { return static_cast<cuuint64_t>(x); };
  const auto& [images, rows, columns, channels] = mapping.shape;
  const cuuint64_t pixel = at(mapping.pitch) * at(storage_bytes(mapping.operand));
  const cuuint64_t shape[4] = {at(channels), at(columns), at(rows), at(images)};
  const cuuint64_t strides[3] = {pixel, pixel * at(columns), pixel * at(columns) * at(rows)};
  const auto& box = mapping.box;
  const cuuint32_t boxes[4] = {static_cast<cuuint32_t>(box[3]), static_cast<cuuint32_t>(box[2]), static_cast<cuuint32_t>(box[1]),
                               static_cast<cuuint32_t>(box[0])};
  const cuuint32_t ones[4] = {1, 1, 1, 1};
  return function(&map, type_of(mapping.operand), 4, const_cast<void*>(mapping.data), shape, strides, boxes, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  swizzle_of(mapping.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace wins::runtime::cuda
