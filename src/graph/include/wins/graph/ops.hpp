// The operators of the graph: one small struct each, parsed and checked once at import.
//
// Semantics are ONNX's (opset 23) unless a comment says otherwise. Tensors are NCHW. Inputs that
// ONNX passes as tensors (axes, pads, sizes) stay inputs of the node; `specialize` folds them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::graph {

using Ints = std::vector<std::int64_t>;

/// Element-wise functions of one input.
enum class UnaryKind {
  identity, relu, clip, leaky_relu, sigmoid, tanh, hard_swish, hard_sigmoid, elu, silu, gelu,
  gelu_tanh, softplus, mish, erf, exp, log, sqrt, reciprocal, neg, abs, floor, ceil,
};
/// clip: [alpha, beta]; leaky_relu, elu: alpha; hard_sigmoid: alpha x + beta; others: none.
struct Activation {
  UnaryKind kind = UnaryKind::identity;
  float alpha = 0;
  float beta = 0;
  bool operator==(const Activation&) const = default;
};

enum class AutoPad { none, same_upper, same_lower, valid };

/// Geometry shared by convolutions and pools, 2-D (1-D models are lifted at import).
struct Window {
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::array<std::int64_t, 4> pads{0, 0, 0, 0};  ///< top, left, bottom, right (ONNX order)
  AutoPad auto_pad = AutoPad::none;               ///< resolved into `pads` by `specialize`
  bool operator==(const Window&) const = default;
};

/// Inputs: X, W [K, C/group, kh, kw], bias [K] or none, residual (shape of the output) or none.
/// Y = activation(conv(X, W) + bias + residual); bias, residual and activation come from fusion.
struct Conv {
  Window window;
  std::int64_t group = 1;
  Activation activation;
};

/// A convolution carried in the Winograd domain. Inputs: X, U [p*p, K, C] (zero where the mask
/// prunes), bias [K] or none, residual or none. Kernel r x r, pads as in a Conv; p, and which
/// strides exist, are those of `winograd::algorithm(m, r, stride)`.
struct WinogradConv {
  int m = 2;
  int r = 3;
  std::array<std::int64_t, 4> pads{1, 1, 1, 1};
  winograd::Mask mask;
  Activation activation;
  int stride = 1;  ///< 1, or 2 with m = 2 and r = 3
};

/// Inputs: X, W [C, K/group, kh, kw], bias or none. `output_pads`: bottom, right additions.
struct ConvTranspose {
  Window window;
  std::int64_t group = 1;
  std::array<std::int64_t, 2> output_padding{0, 0};
  Ints output_shape;  ///< spatial extents, or empty
};

/// Inference form. Inputs: X, scale, shift, mean, variance (each [C]).
struct BatchNorm { float epsilon = 1e-5F; float momentum = 0.9F; };
/// One input.
struct Unary { Activation function; };
/// Inputs: X, slope (broadcast to X).
struct PRelu {};
enum class BinaryKind { add, sub, mul, div, pow, min, max };
/// Two inputs with numpy broadcasting. `activation` comes from fusion (float tensors only).
struct Binary { BinaryKind kind = BinaryKind::add; Activation activation{}; };
struct Pool {
  enum class Kind { max, average } kind = Kind::max;
  Window window;
  bool ceil_mode = false;
  bool count_include_pad = false;
};
struct GlobalPool { Pool::Kind kind = Pool::Kind::average; };
/// Inputs: X, axes (int64 tensor) or none.
struct Reduce {
  enum class Kind { mean, sum, max, min, l2 } kind = Kind::mean;
  bool keep_dims = true;
  bool noop_with_empty_axes = false;
};
/// Inputs: A, B, C or none. `activation` comes from fusion.
struct Gemm { float alpha = 1; float beta = 1; bool trans_a = false; bool trans_b = false; Activation activation; };
struct MatMul {};
struct Flatten { std::int64_t axis = 1; };
/// Inputs: X, shape.
struct Reshape { bool allow_zero = false; };
/// Inputs: X, axes or none.
struct Squeeze {};
/// Inputs: X, axes.
struct Unsqueeze {};
struct Transpose { Ints perm; };
struct Concat { std::int64_t axis = 0; };
/// Inputs: X, sizes or none; one output per part.
struct Split { std::int64_t axis = 0; };
/// Inputs: X, starts, ends, axes or none, steps or none.
struct Slice {};
/// Inputs: X, pads, value or none, axes or none.
struct Pad { enum class Mode { constant, reflect, edge, wrap } mode = Mode::constant; };
/// Inputs: X, roi or none, scales or none, sizes or none.
struct Resize {
  enum class Mode { nearest, linear, cubic } mode = Mode::nearest;
  enum class Coordinate { half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric }
      coordinate = Coordinate::half_pixel;
  enum class Nearest { round_prefer_floor, round_prefer_ceil, floor, ceil } nearest = Nearest::round_prefer_floor;
  float cubic_a = -0.75F;
};
struct DepthToSpace { std::int64_t block = 1; bool crd = false; };
struct SpaceToDepth { std::int64_t block = 1; };
struct Lrn { std::int64_t size = 1; float alpha = 1e-4F; float beta = 0.75F; float bias = 1; };
struct Softmax { std::int64_t axis = -1; bool log = false; };
/// Inputs: X, scale, shift or none. Normalises over axes [axis, rank).
struct LayerNorm { std::int64_t axis = -1; float epsilon = 1e-5F; };
struct Shape { std::int64_t start = 0; std::optional<std::int64_t> end; };
/// Inputs: data, indices.
struct Gather { std::int64_t axis = 0; };
struct Cast { DType to = DType::f32; };
/// Input: shape.
struct ConstantOfShape { Tensor value; };
/// Inputs: X, shape.
struct Expand {};
/// Inputs: start, limit, delta.
struct Range {};

using Op = std::variant<Conv, WinogradConv, ConvTranspose, BatchNorm, Unary, PRelu, Binary, Pool, GlobalPool,
                        Reduce, Gemm, MatMul, Flatten, Reshape, Squeeze, Unsqueeze, Transpose, Concat, Split,
                        Slice, Pad, Resize, DepthToSpace, SpaceToDepth, Lrn, Softmax, LayerNorm, Shape, Gather,
                        Cast, ConstantOfShape, Expand, Range>;

/// "Conv", "WinogradConv", "Relu", "Add", ...: ONNX's name of the operator.
std::string op_name(const Op& op);

}  // namespace wins::graph
