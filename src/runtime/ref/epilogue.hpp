// What fusion appends to a convolution: activation(conv + bias + residual).
#pragma once

#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {

/// Bias is input 2 (per output channel), residual input 3 (shape of the output).
template <class T>
class Epilogue {
 public:
  /// `shape`: the convolution's output, [N, K, H, W]. Throws `Error` on a wrong bias or residual.
  Epilogue(const graph::Activation& activation, const Inputs& inputs, const Shape& shape)
      : activation_(activation), bias_(optional_vector<T>(inputs, 2, shape[1])), plane_(shape[2] * shape[3]) {
    const Tensor* residual = optional_input(inputs, 3);
    if (residual == nullptr) return;
    require(residual->shape() == shape, "residual {} does not have the output's shape {}",
            to_string(residual->shape()), to_string(shape));
    residual_ = residual->data<T>().data();
  }

  /// Completes one plane in place; `plane` = n * K + k.
  void apply(T* values, std::int64_t plane, std::int64_t k) const {
    const T bias = bias_ != nullptr ? bias_[k] : T(0);
    const T* residual = residual_ != nullptr ? residual_ + plane * plane_ : nullptr;
    for (std::int64_t i = 0; i < plane_; ++i) {
      const T sum = values[i] + bias + (residual != nullptr ? residual[i] : T(0));
      values[i] = activate(activation_, sum);
    }
  }

 private:
  graph::Activation activation_;
  const T* bias_;
  const T* residual_ = nullptr;
  std::int64_t plane_;
};

}  // namespace wins::runtime::ref
