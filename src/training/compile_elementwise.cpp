// Functions of single elements; formulas as in ONNX's operator documents.
#include <ATen/ATen.h>

#include "compile.hpp"
#include "tensors.hpp"

namespace wins::training {
namespace {

using graph::BinaryKind;
using graph::UnaryKind;

at::Tensor apply_binary(BinaryKind kind, const at::Tensor& a, const at::Tensor& b) {
  switch (kind) {
    case BinaryKind::add:
      return a + b;
    case BinaryKind::sub:
      return a - b;
    case BinaryKind::mul:
      return a * b;
    case BinaryKind::div:
      return a.is_floating_point() ? a / b : at::div(a, b, "trunc");
    case BinaryKind::pow:
      return at::pow(a, b);
    case BinaryKind::min:
      return at::minimum(a, b);
    case BinaryKind::max:
      return at::maximum(a, b);
  }
  TORCH_CHECK(false, "unknown binary operator");
}

bool is_float(const Site& site, std::size_t input) {
  return site.dtype(input) == DType::f32 || site.dtype(input) == DType::f64;
}

}  // namespace

at::Tensor apply_activation(const graph::Activation& f, const at::Tensor& x) {
  switch (f.kind) {
    case UnaryKind::identity:
      return x;
    case UnaryKind::relu:
      return at::relu(x);
    case UnaryKind::clip:
      return at::clamp(x, f.alpha, f.beta);
    case UnaryKind::leaky_relu:
      return at::leaky_relu(x, f.alpha);
    case UnaryKind::sigmoid:
      return at::sigmoid(x);
    case UnaryKind::tanh:
      return at::tanh(x);
    case UnaryKind::hard_swish:
      return at::hardswish(x);
    case UnaryKind::hard_sigmoid:
      return at::clamp(x * f.alpha + f.beta, 0, 1);
    case UnaryKind::elu:
      return at::elu(x, f.alpha);
    case UnaryKind::silu:
      return at::silu(x);
    case UnaryKind::gelu:
      return at::gelu(x);
    case UnaryKind::gelu_tanh:
      return at::gelu(x, "tanh");
    // Without libtorch's switch to the identity above 20.
    case UnaryKind::softplus:
      return at::logaddexp(x, at::zeros({}, x.options()));
    case UnaryKind::mish:
      return at::mish(x);
    case UnaryKind::erf:
      return at::erf(x);
    case UnaryKind::exp:
      return at::exp(x);
    case UnaryKind::log:
      return at::log(x);
    case UnaryKind::sqrt:
      return at::sqrt(x);
    case UnaryKind::reciprocal:
      return at::reciprocal(x);
    case UnaryKind::neg:
      return at::neg(x);
    case UnaryKind::abs:
      return at::abs(x);
    case UnaryKind::floor:
      return at::floor(x);
    case UnaryKind::ceil:
      return at::ceil(x);
  }
  TORCH_CHECK(false, "unknown activation");
}

Kernel compile(const graph::Unary& op, const Site&) {
  return [f = op.function](const std::vector<at::Tensor>& in, const Run&) {
    return std::vector{apply_activation(f, in[0])};
  };
}

Kernel compile(const graph::Binary& op, const Site& site) {
  if (is_float(site, 0) != is_float(site, 1)) site.refuse("operands of different types");
  return [op](const std::vector<at::Tensor>& in, const Run&) {
    return std::vector{apply_activation(op.activation, apply_binary(op.kind, in[0], in[1]))};
  };
}

Kernel compile(const graph::PRelu&, const Site&) {
  return [](const std::vector<at::Tensor>& in, const Run&) {
    return std::vector{at::where(in[0] < 0, in[0] * in[1], in[0])};
  };
}

Kernel compile(const graph::Cast& op, const Site&) {
  return [type = torch_type(op.to)](const std::vector<at::Tensor>& in, const Run&) {
    return std::vector{in[0].to(type)};
  };
}

}  // namespace wins::training
