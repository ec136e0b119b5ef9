// Element-wise functions in double; formulas as in ONNX's operator documents.
#include <cmath>
#include <numbers>

#include "wins/graph/evaluate.hpp"

namespace wins::graph {
namespace {

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

/// log(1 + exp(x)) without overflow.
double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

/// NaN stays NaN, as std::clamp does not promise.
double clip(double x, double low, double high) {
  if (x < low) x = low;
  return x > high ? high : x;
}

double gelu_tanh(double x) {
  return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

}  // namespace

double apply_activation(const Activation& function, double x) {
  switch (function.kind) {
    case UnaryKind::identity:
      return x;
    case UnaryKind::relu:
      return x < 0 ? 0 : x;
    case UnaryKind::clip:
      return clip(x, function.alpha, function.beta);
    case UnaryKind::leaky_relu:
      return x < 0 ? static_cast<double>(function.alpha) * x : x;
    case UnaryKind::sigmoid:
      return sigmoid(x);
    case UnaryKind::tanh:
      return std::tanh(x);
    case UnaryKind::hard_swish:
      return x * clip(x / 6.0 + 0.5, 0, 1);
    case UnaryKind::hard_sigmoid:
      return clip(static_cast<double>(function.alpha) * x + function.beta, 0, 1);
    case UnaryKind::elu:
      return x < 0 ? function.alpha * std::expm1(x) : x;
    case UnaryKind::silu:
      return x * sigmoid(x);
    case UnaryKind::gelu:
      return 0.5 * x * (1.0 + std::erf(x / std::numbers::sqrt2));
    case UnaryKind::gelu_tanh:
      return gelu_tanh(x);
    case UnaryKind::softplus:
      return softplus(x);
    case UnaryKind::mish:
      return x * std::tanh(softplus(x));
    case UnaryKind::erf:
      return std::erf(x);
    case UnaryKind::exp:
      return std::exp(x);
    case UnaryKind::log:
      return std::log(x);
    case UnaryKind::sqrt:
      return std::sqrt(x);
    case UnaryKind::reciprocal:
      return 1.0 / x;
    case UnaryKind::neg:
      return -x;
    case UnaryKind::abs:
      return std::abs(x);
    case UnaryKind::floor:
      return std::floor(x);
    case UnaryKind::ceil:
      return std::ceil(x);
  }
  return x;
}

}  // namespace wins::graph
