#include "tensors.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

DType wins_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::f32;
    case at::kDouble:
      return DType::f64;
    case at::kLong:
      return DType::i64;
    case at::kInt:
      return DType::i32;
    case at::kByte:
      return DType::u8;
    case at::kBool:
      return DType::boolean;
    default:
      fail("libtorch tensor type {} has no counterpart", c10::toString(type));
  }
}

}  // namespace

at::ScalarType torch_type(DType type) {
  switch (type) {
    case DType::f32:
      return at::kFloat;
    case DType::f64:
      return at::kDouble;
    case DType::i64:
      return at::kLong;
    case DType::i32:
      return at::kInt;
    case DType::u8:
      return at::kByte;
    case DType::boolean:
      return at::kBool;
  }
  fail("unknown tensor type {}", static_cast<int>(type));
}

at::Tensor to_torch(const Tensor& tensor, at::Device device) {
  require(tensor.defined(), "a tensor without values was handed to libtorch");
  at::Tensor copy = at::empty(tensor.shape(), at::TensorOptions().dtype(torch_type(tensor.dtype())));
  if (tensor.byte_size() > 0) std::memcpy(copy.mutable_data_ptr(), tensor.bytes(), tensor.byte_size());
  return copy.to(device);
}

Tensor from_torch(const at::Tensor& tensor) {
  at::Tensor flat = tensor.detach().cpu();
  if (flat.scalar_type() == at::kHalf || flat.scalar_type() == at::kBFloat16) flat = flat.to(at::kFloat);
  flat = flat.contiguous(at::MemoryFormat::Contiguous);
  Tensor copy(wins_type(flat.scalar_type()), Shape(flat.sizes().begin(), flat.sizes().end()));
  if (copy.byte_size() > 0) std::memcpy(copy.mutable_bytes(), flat.const_data_ptr(), copy.byte_size());
  return copy;
}

}  // namespace wins::training
