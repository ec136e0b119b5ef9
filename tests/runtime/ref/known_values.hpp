// Inputs and helpers that the tests of the reference share.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::runtime::ref {

/// What another runtime gave for a case.
struct KnownResult {
  Shape shape;
  std::vector<float> values;
};

/// The formula of make_onnxruntime_cases.py: exactly representable values in [-1.6, 1.6).
inline Tensor data(std::int64_t seed, const Shape& shape, float offset = 0) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < element_count(shape); ++i) {
    values.push_back(static_cast<float>((i * 37 + seed * 101) % 199 - 99) / 64 + offset);
  }
  return Tensor::of(shape, values);
}

inline Tensor ints(const std::vector<std::int64_t>& values) {
  return Tensor::of({static_cast<std::int64_t>(values.size())}, values);
}

inline Tensor floats(const std::vector<float>& values) {
  return Tensor::of({static_cast<std::int64_t>(values.size())}, values);
}

/// One node on its own; an undefined tensor stands for an absent input.
inline std::vector<Tensor> run_op(graph::Op op, const std::vector<Tensor>& inputs, Precision precision,
                                  std::size_t outputs = 1) {
  graph::Node node;
  node.name = "the node";
  node.op = std::move(op);
  node.outputs.resize(outputs);
  std::vector<const Tensor*> pointers;
  for (const Tensor& input : inputs) {
    const auto id = static_cast<graph::ValueId>(pointers.size());
    pointers.push_back(input.defined() ? &input : nullptr);
    node.inputs.push_back(input.defined() ? id : graph::kNone);
  }
  return run_node(node, pointers, precision);
}

}  // namespace wins::runtime::ref
