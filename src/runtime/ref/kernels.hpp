// The reference operators, one file per family. T is float or double: the type of every sum.
//
// Inputs are in the node's order, float tensors already of type T, nullptr for an absent optional
// one. Outputs are new tensors. Wrong ranks or extents throw `Error` without the node's name;
// `run_node` adds it.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/graph/ops.hpp"

namespace wins::runtime::ref {

using Inputs = std::vector<const Tensor*>;

/// Input `i`, or nullptr when it is absent.
inline const Tensor* optional_input(const Inputs& inputs, std::size_t i) {
  return i < inputs.size() ? inputs[i] : nullptr;
}
/// Input `i`; throws `Error` when it is absent.
const Tensor& required_input(const Inputs& inputs, std::size_t i);
/// Input `i`, which must have this rank.
const Tensor& input_of_rank(const Inputs& inputs, std::size_t i, std::size_t rank);
/// Elements of input `i`, or nullptr when it is absent; throws unless there are `count` of them.
template <class T>
const T* optional_vector(const Inputs& inputs, std::size_t i, std::int64_t count);
/// An axis counted from the back when negative; throws `Error` outside [-rank, rank).
std::int64_t normal_axis(std::int64_t axis, std::size_t rank);

// elementwise.cpp
template <class T>
T activate(const graph::Activation& activation, T x);
template <class T>
Tensor unary(const graph::Unary& op, const Inputs& inputs);
template <class T>
Tensor prelu(const Inputs& inputs);
template <class T>
Tensor binary(const graph::Binary& op, const Inputs& inputs);

// convolution.cpp
template <class T>
Tensor conv(const graph::Conv& op, const Inputs& inputs);
// conv_transpose.cpp
template <class T>
Tensor conv_transpose(const graph::ConvTranspose& op, const Inputs& inputs);
// winograd.cpp
template <class T>
Tensor winograd_conv(const graph::WinogradConv& op, const Inputs& inputs);

// pooling.cpp
template <class T>
Tensor pool(const graph::Pool& op, const Inputs& inputs);
template <class T>
Tensor global_pool(const graph::GlobalPool& op, const Inputs& inputs);

// normalisation.cpp
template <class T>
Tensor batch_norm(const graph::BatchNorm& op, const Inputs& inputs);
template <class T>
Tensor lrn(const graph::Lrn& op, const Inputs& inputs);
template <class T>
Tensor softmax(const graph::Softmax& op, const Inputs& inputs);
template <class T>
Tensor layer_norm(const graph::LayerNorm& op, const Inputs& inputs);

// reduce.cpp
template <class T>
Tensor reduce(const graph::Reduce& op, const Inputs& inputs);

// matmul.cpp
template <class T>
Tensor gemm(const graph::Gemm& op, const Inputs& inputs);
template <class T>
Tensor matmul(const Inputs& inputs);

// resize.cpp
template <class T>
Tensor resize(const graph::Resize& op, const Inputs& inputs);

}  // namespace wins::runtime::ref
