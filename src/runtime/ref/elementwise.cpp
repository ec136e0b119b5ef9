// Activations and arithmetic on one or two tensors.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "broadcast.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

using graph::BinaryKind;
using graph::UnaryKind;

template <class T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// log(1 + e^x) without overflow.
template <class T>
T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

template <class T>
T hard_sigmoid(T x, T alpha, T beta) {
  return std::clamp(alpha * x + beta, T(0), T(1));
}

template <class T>
T gelu_tanh(T x) {
  const T inner = std::sqrt(T(2) * std::numbers::inv_pi_v<T>) * (x + T(0.044715) * x * x * x);
  return T(0.5) * x * (T(1) + std::tanh(inner));
}

template <class T>
T combine(BinaryKind kind, T a, T b) {
  switch (kind) {
    case BinaryKind::add: return a + b;
    case BinaryKind::sub: return a - b;
    case BinaryKind::mul: return a * b;
    case BinaryKind::div: return a / b;
    case BinaryKind::pow: return std::pow(a, b);
    case BinaryKind::min: return b < a ? b : a;
    case BinaryKind::max: return a < b ? b : a;
  }
  fail("unknown binary function {}", static_cast<int>(kind));
}

}  // namespace

// Comparisons are written so that NaN goes through.
template <class T>
T activate(const graph::Activation& activation, T x) {
  const T alpha = activation.alpha;
  const T beta = activation.beta;
  switch (activation.kind) {
    case UnaryKind::identity: return x;
    case UnaryKind::relu: return x < T(0) ? T(0) : x;
    case UnaryKind::clip: {
      const T low = x < alpha ? alpha : x;
      return low > beta ? beta : low;
    }
    case UnaryKind::leaky_relu: return x < T(0) ? alpha * x : x;
    case UnaryKind::sigmoid: return sigmoid(x);
    case UnaryKind::tanh: return std::tanh(x);
    case UnaryKind::hard_swish: return x * hard_sigmoid(x, T(1) / T(6), T(0.5));
    case UnaryKind::hard_sigmoid: return hard_sigmoid(x, alpha, beta);
    case UnaryKind::elu: return x < T(0) ? alpha * std::expm1(x) : x;
    case UnaryKind::silu: return x * sigmoid(x);
    case UnaryKind::gelu: return T(0.5) * x * (T(1) + std::erf(x / std::numbers::sqrt2_v<T>));
    case UnaryKind::gelu_tanh: return gelu_tanh(x);
    case UnaryKind::softplus: return softplus(x);
    case UnaryKind::mish: return x * std::tanh(softplus(x));
    case UnaryKind::erf: return std::erf(x);
    case UnaryKind::exp: return std::exp(x);
    case UnaryKind::log: return std::log(x);
    case UnaryKind::sqrt: return std::sqrt(x);
    case UnaryKind::reciprocal: return T(1) / x;
    case UnaryKind::neg: return -x;
    case UnaryKind::abs: return std::abs(x);
    case UnaryKind::floor: return std::floor(x);
    case UnaryKind::ceil: return std::ceil(x);
  }
  fail("unknown function {}", static_cast<int>(activation.kind));
}
template float activate<float>(const graph::Activation&, float);
template double activate<double>(const graph::Activation&, double);

template <class T>
Tensor unary(const graph::Unary& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  Tensor y(dtype_of<T>(), x.shape());
  const auto source = x.data<T>();
  const auto target = y.mutable_data<T>();
  for (std::size_t i = 0; i < source.size(); ++i) target[i] = activate(op.function, source[i]);
  return y;
}
template Tensor unary<float>(const graph::Unary&, const Inputs&);
template Tensor unary<double>(const graph::Unary&, const Inputs&);

template <class T>
Tensor prelu(const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  const Tensor& slope = required_input(inputs, 1);
  Tensor y(dtype_of<T>(), x.shape());
  const auto values = x.data<T>();
  const auto slopes = slope.data<T>();
  const auto target = y.mutable_data<T>();
  const auto strides = broadcast_strides(slope.shape(), x.shape());
  for_each_broadcast(x.shape(), strides, strides, [&](std::int64_t i, std::int64_t s, std::int64_t) {
    const T value = values[static_cast<std::size_t>(i)];
    target[static_cast<std::size_t>(i)] = value < T(0) ? slopes[static_cast<std::size_t>(s)] * value : value;
  });
  return y;
}
template Tensor prelu<float>(const Inputs&);
template Tensor prelu<double>(const Inputs&);

template <class T>
Tensor binary(const graph::Binary& op, const Inputs& inputs) {
  const Tensor& a = required_input(inputs, 0);
  const Tensor& b = required_input(inputs, 1);
  Tensor y(dtype_of<T>(), broadcast_shape(a.shape(), b.shape()));
  const auto left = a.data<T>();
  const auto right = b.data<T>();
  const auto target = y.mutable_data<T>();
  for_each_broadcast(y.shape(), broadcast_strides(a.shape(), y.shape()), broadcast_strides(b.shape(), y.shape()),
                     [&](std::int64_t i, std::int64_t ia, std::int64_t ib) {
                       const T value = combine(op.kind, left[static_cast<std::size_t>(ia)],
                                               right[static_cast<std::size_t>(ib)]);
                       target[static_cast<std::size_t>(i)] = activate(op.activation, value);
                     });
  return y;
}
template Tensor binary<float>(const graph::Binary&, const Inputs&);
template Tensor binary<double>(const graph::Binary&, const Inputs&);

}  // namespace wins::runtime::ref
