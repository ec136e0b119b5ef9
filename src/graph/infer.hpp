// Shape inference of single nodes: what the rules of the operator families share.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/graph/graph.hpp"

namespace wins::graph {

/// No extent, pad, stride or kernel may exceed this: sums and products of a few never overflow.
inline constexpr std::int64_t kMaxExtent = std::int64_t{1} << 40;
inline constexpr std::int64_t kMaxWindow = std::int64_t{1} << 28;
inline constexpr std::size_t kMaxRank = 16;
/// Element of an integer tensor that is not known yet (partially known shape tensors).
inline constexpr std::int64_t kUnknownElement = std::numeric_limits<std::int64_t>::min() + 0x5eed;

/// What is known of one value while inferring.
struct ValueInfo {
  DType dtype = DType::f32;
  std::optional<wins::Shape> shape;
  const Tensor* constant = nullptr;
  bool present = true;  ///< false for an absent optional input

  static ValueInfo absent() {
    ValueInfo info;
    info.present = false;
    return info;
  }
};

/// The node under inference and its inputs; messages name the node.
class InferContext {
 public:
  InferContext(const Node& node, std::span<const ValueInfo> inputs) : node_(node), inputs_(inputs) {}

  bool has(std::size_t i) const { return i < inputs_.size() && inputs_[i].present; }
  DType dtype(std::size_t i) const { return inputs_[i].dtype; }
  const std::optional<wins::Shape>& shape(std::size_t i) const { return inputs_[i].shape; }
  std::size_t input_count() const { return inputs_.size(); }
  std::size_t output_count() const { return node_.outputs.size(); }
  /// Elements of a constant integer tensor of rank 0 or 1; nothing when it is not constant.
  std::optional<Ints> ints(std::size_t i) const;
  const Tensor* constant(std::size_t i) const { return has(i) ? inputs_[i].constant : nullptr; }
  /// Length of a rank-1 input, or -1.
  std::int64_t length(std::size_t i) const;

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    wins::fail("node '{}' ({}): {}", node_.name, op_name(node_.op),
               fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void require(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (!condition) fail(format, std::forward<Args>(args)...);
  }
  void require_float(std::size_t i) const;
  /// Throws unless the rank of input `i`, when known, is `rank`.
  void require_rank(std::size_t i, std::size_t rank) const;
  /// The known one of two extents; throws when they differ.
  std::int64_t merge(std::int64_t a, std::int64_t b, const char* what) const;
  /// Axis in [0, rank) from one that may be negative.
  std::size_t axis(std::int64_t axis, std::size_t rank) const;
  /// Same for a list; throws on repeated axes.
  std::vector<std::size_t> axes(const Ints& list, std::size_t rank) const;
  /// Product of extents, -1 when one is unknown; throws on overflow.
  std::int64_t count(std::span<const std::int64_t> extents) const;

 private:
  const Node& node_;
  std::span<const ValueInfo> inputs_;
};

using Inferred = std::vector<ValueInfo>;

/// One output.
inline Inferred single(DType dtype, std::optional<wins::Shape> shape) {
  return {{dtype, std::move(shape)}};
}

/// Shape and element type of every output. Throws `Error` naming the node.
Inferred infer_node(const Node& node, std::span<const ValueInfo> inputs);

/// numpy broadcasting of two shapes.
wins::Shape broadcast(const InferContext& context, const wins::Shape& a, const wins::Shape& b);

/// A slice of one axis: elements start, start + step, ...; `count` of them.
struct AxisSlice {
  std::int64_t start = 0, step = 1, count = 0;
};
AxisSlice resolve_slice(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t extent);

/// Sizes of the parts of a Split along an axis of `extent` elements.
Ints split_sizes(const InferContext& context, std::int64_t extent);

/// Pads of a Pad node, begins then ends for every axis (zeros for axes that are not named);
/// nothing when they are not constant.
std::optional<Ints> resolve_pads(const InferContext& context, std::size_t rank);

/// Axes that a Reduce, Squeeze or Unsqueeze names; nothing when they are not constant.
std::vector<bool> axis_flags(const InferContext& context, const Ints& axes, std::size_t rank);

/// Replaces auto_pad and output_shape by explicit pads for these concrete input shapes.
void resolve_window(Op& op, const InferContext& context);

// The rules, one overload for each operator.
Inferred infer(const Conv&, const InferContext&);
Inferred infer(const WinogradConv&, const InferContext&);
Inferred infer(const ConvTranspose&, const InferContext&);
Inferred infer(const BatchNorm&, const InferContext&);
Inferred infer(const Unary&, const InferContext&);
Inferred infer(const PRelu&, const InferContext&);
Inferred infer(const Binary&, const InferContext&);
Inferred infer(const Pool&, const InferContext&);
Inferred infer(const GlobalPool&, const InferContext&);
Inferred infer(const Reduce&, const InferContext&);
Inferred infer(const Gemm&, const InferContext&);
Inferred infer(const MatMul&, const InferContext&);
Inferred infer(const Flatten&, const InferContext&);
Inferred infer(const Reshape&, const InferContext&);
Inferred infer(const Squeeze&, const InferContext&);
Inferred infer(const Unsqueeze&, const InferContext&);
Inferred infer(const Transpose&, const InferContext&);
Inferred infer(const Concat&, const InferContext&);
Inferred infer(const Split&, const InferContext&);
Inferred infer(const Slice&, const InferContext&);
Inferred infer(const Pad&, const InferContext&);
Inferred infer(const Resize&, const InferContext&);
Inferred infer(const DepthToSpace&, const InferContext&);
Inferred infer(const SpaceToDepth&, const InferContext&);
Inferred infer(const Lrn&, const InferContext&);
Inferred infer(const Softmax&, const InferContext&);
Inferred infer(const LayerNorm&, const InferContext&);
Inferred infer(const Shape&, const InferContext&);
Inferred infer(const Gather&, const InferContext&);
Inferred infer(const Cast&, const InferContext&);
Inferred infer(const ConstantOfShape&, const InferContext&);
Inferred infer(const Expand&, const InferContext&);
Inferred infer(const Range&, const InferContext&);

}  // namespace wins::graph
