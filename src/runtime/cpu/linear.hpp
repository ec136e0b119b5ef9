// Gemm and MatMul with a constant matrix, as kernels see them.
#pragma once

#include "aligned.hpp"
#include "kernel.hpp"

namespace wins::runtime::cpu {

/// Y [rows, outputs] = activation(alpha X [rows, inputs] W^T + beta bias).
struct Linear {
  std::int64_t rows, inputs, outputs;
  bool transposed;  ///< the constant is stored [outputs, inputs]
  float alpha, beta;
  graph::Activation activation;
};
Linear linear_of(const Problem& problem);

/// Why the node is not of that form; nothing when it is.
std::optional<std::string> refuse_linear_form(const Problem& problem);

/// beta bias, `outputs` values.
AlignedFloats scaled_bias(const Problem& problem, const Linear& linear);

}  // namespace wins::runtime::cpu
