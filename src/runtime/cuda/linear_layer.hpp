// Fully connected layers: a Gemm, or a MatMul with a constant matrix behind it, as rows times a matrix on the device.
#pragma once

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// What the layer does with its product.
struct Linear {
  float alpha = 1, beta = 1;
  bool trans_b = false;
  graph::Activation activation;
};
Linear linear_of(const Problem& problem);

std::optional<std::string> refuse_linear(const Problem& problem);

std::int64_t linear_rows(const Problem& problem);
/// [columns][inner], times alpha, its inner elements in the order in which the input's lie. `linear_key` names it among the device's weights.
Tensor linear_weights(const Problem& problem);
std::string linear_key(const Problem& problem);
/// [columns], times beta; zeros where the layer has none.
Tensor linear_bias(const Problem& problem);

}  // namespace wins::runtime::cuda
