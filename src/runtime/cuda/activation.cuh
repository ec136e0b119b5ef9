// Element-wise functions in float32.
#pragma once

#include <cmath>

#include "wins/graph/ops.hpp"

namespace wins::runtime::cuda {

/// What kernels take of a graph::Activation.
struct DeviceActivation {
  graph::UnaryKind kind = graph::UnaryKind::identity;
  float alpha = 0, beta = 0;
};

/// `fmaxf` would turn NaN into the other operand.
__device__ inline float clamp(float x, float low, float high) {
  if (x < low) x = low;
  return x > high ? high : x;
}

/// NaN wins.
__device__ inline float larger(float a, float b) { return a > b || isnan(a) ? a : b; }

__device__ inline float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }

/// The functions that networks rarely use; kept out of line.
__device__ inline float apply_rare(const DeviceActivation& f, float x) {
  using graph::UnaryKind;
  switch (f.kind) {
    case UnaryKind::leaky_relu: return x < 0 ? f.alpha * x : x;
    case UnaryKind::sigmoid: return 1 / (1 + expf(-x));
    case UnaryKind::tanh: return tanhf(x);
    case UnaryKind::hard_swish: return x * clamp(x / 6 + 0.5F, 0, 1);
    case UnaryKind::hard_sigmoid: return clamp(f.alpha * x + f.beta, 0, 1);
    case UnaryKind::elu: return x < 0 ? f.alpha * expm1f(x) : x;
    case UnaryKind::silu: return x / (1 + expf(-x));
    case UnaryKind::gelu: return 0.5F * x * (1 + erff(x * 0.70710678118654752F));
    case UnaryKind::gelu_tanh: return 0.5F * x * (1 + tanhf(0.79788456080286536F * (x + 0.044715F * x * x * x)));
    case UnaryKind::softplus: return softplus(x);
    case UnaryKind::mish: return x * tanhf(softplus(x));
    case UnaryKind::erf: return erff(x);
    case UnaryKind::exp: return expf(x);
    case UnaryKind::log: return logf(x);
    case UnaryKind::sqrt: return sqrtf(x);
    case UnaryKind::reciprocal: return 1 / x;
    case UnaryKind::neg: return -x;
    case UnaryKind::abs: return fabsf(x);
    case UnaryKind::floor: return floorf(x);
    case UnaryKind::ceil: return ceilf(x);
    default: return x;
  }
}

__device__ inline float apply(const DeviceActivation& f, float x) {
  using graph::UnaryKind;
  if (f.kind == UnaryKind::identity) return x;
  if (f.kind == UnaryKind::relu) return x < 0 ? 0 : x;
  if (f.kind == UnaryKind::clip) return clamp(x, f.alpha, f.beta);
  return apply_rare(f, x);
}

}  // namespace wins::runtime::cuda
