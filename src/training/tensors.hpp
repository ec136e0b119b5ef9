// Between the project's tensors and libtorch's.
#pragma once

#include <ATen/core/Tensor.h>

#include "wins/base/tensor.hpp"

namespace wins::training {

/// Copy on `device`. Throws `Error` for an undefined tensor.
at::Tensor to_torch(const Tensor& tensor, at::Device device);
/// Copy in row-major order on the CPU; half precisions become float32. Throws `Error` for a type
/// that wins::Tensor does not have.
Tensor from_torch(const at::Tensor& tensor);

at::ScalarType torch_type(DType type);

}  // namespace wins::training
