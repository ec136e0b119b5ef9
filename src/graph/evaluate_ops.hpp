// Pieces of `evaluate`: one overload for each operator that it takes.
#pragma once

#include <type_traits>
#include <vector>

#include "infer.hpp"

namespace wins::graph {

/// A node with its inputs and the shapes and types that inference gave for its outputs.
struct Evaluation {
  const InferContext& context;
  const std::vector<const Tensor*>& inputs;
  const Inferred& outputs;

  const Tensor& input(std::size_t i) const { return *inputs[i]; }
  const wins::Shape& shape(std::size_t output = 0) const { return *outputs[output].shape; }
};

/// Row-major strides in elements.
std::vector<std::int64_t> strides_of(const wins::Shape& shape);

/// For each output axis and index, the offset in elements that it adds in the source; kFill where
/// the output takes the fill element.
inline constexpr std::int64_t kFill = -1;
using AxisOffsets = std::vector<std::int64_t>;

/// Output element (i0, i1, ...) = source element offsets[0][i0] + offsets[1][i1] + ... plus `base`,
/// or `fill` (one element; zeros when null).
Tensor pick(const Tensor& source, const wins::Shape& shape, const std::vector<AxisOffsets>& offsets,
            const std::byte* fill = nullptr);

/// numpy broadcasting of `source` to `shape`.
Tensor broadcast_to(const Tensor& source, const wins::Shape& shape);

// Data movement.
std::vector<Tensor> compute(const Reshape&, const Evaluation&);
std::vector<Tensor> compute(const Flatten&, const Evaluation&);
std::vector<Tensor> compute(const Squeeze&, const Evaluation&);
std::vector<Tensor> compute(const Unsqueeze&, const Evaluation&);
std::vector<Tensor> compute(const Transpose&, const Evaluation&);
std::vector<Tensor> compute(const Concat&, const Evaluation&);
std::vector<Tensor> compute(const Split&, const Evaluation&);
std::vector<Tensor> compute(const Slice&, const Evaluation&);
std::vector<Tensor> compute(const Gather&, const Evaluation&);
std::vector<Tensor> compute(const Pad&, const Evaluation&);
std::vector<Tensor> compute(const Expand&, const Evaluation&);
std::vector<Tensor> compute(const DepthToSpace&, const Evaluation&);
std::vector<Tensor> compute(const SpaceToDepth&, const Evaluation&);
// Arithmetic.
std::vector<Tensor> compute(const Shape&, const Evaluation&);
std::vector<Tensor> compute(const ConstantOfShape&, const Evaluation&);
std::vector<Tensor> compute(const Range&, const Evaluation&);
std::vector<Tensor> compute(const Cast&, const Evaluation&);
std::vector<Tensor> compute(const Unary&, const Evaluation&);
std::vector<Tensor> compute(const Binary&, const Evaluation&);
std::vector<Tensor> compute(const Reduce&, const Evaluation&);

template <class T>
concept Evaluable = requires(const T& op, const Evaluation& evaluation) {
  compute(op, evaluation);
};

}  // namespace wins::graph
