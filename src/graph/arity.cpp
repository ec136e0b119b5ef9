#include "arity.hpp"

#include <fmt/format.h>

#include <limits>

namespace wins::graph {
namespace {

constexpr std::size_t kMany = std::numeric_limits<std::size_t>::max();

struct Visitor {
  Arity operator()(const Conv&) const { return {2, 4}; }
  Arity operator()(const WinogradConv&) const { return {2, 4}; }
  Arity operator()(const ConvTranspose&) const { return {2, 3}; }
  Arity operator()(const BatchNorm&) const { return {5, 5}; }
  Arity operator()(const PRelu&) const { return {2, 2}; }
  Arity operator()(const Binary&) const { return {2, 2}; }
  Arity operator()(const Reduce&) const { return {1, 2}; }
  Arity operator()(const Gemm&) const { return {2, 3}; }
  Arity operator()(const MatMul&) const { return {2, 2}; }
  Arity operator()(const Reshape&) const { return {2, 2}; }
  Arity operator()(const Squeeze&) const { return {1, 2}; }
  Arity operator()(const Unsqueeze&) const { return {2, 2}; }
  Arity operator()(const Concat&) const { return {1, kMany}; }
  Arity operator()(const Split&) const { return {1, 2, 0}; }
  Arity operator()(const Slice&) const { return {3, 5}; }
  Arity operator()(const Pad&) const { return {2, 4}; }
  Arity operator()(const Resize&) const { return {1, 4}; }
  Arity operator()(const LayerNorm&) const { return {2, 3}; }
  Arity operator()(const Gather&) const { return {2, 2}; }
  Arity operator()(const Expand&) const { return {2, 2}; }
  Arity operator()(const Range&) const { return {3, 3}; }
  template <class OneInOneOut>
  Arity operator()(const OneInOneOut&) const {
    return {1, 1};
  }
};

}  // namespace

Arity arity_of(const Op& op) {
  return std::visit(Visitor{}, op);
}

std::string arity_fault(const Node& node) {
  const Arity arity = arity_of(node.op);
  const std::size_t required =
      node.as<Concat>() ? std::max<std::size_t>(1, node.inputs.size()) : arity.required;
  for (std::size_t i = 0; i < required; ++i) {
    if (node.input(i) == kNone) return fmt::format("input {} is missing", i);
  }
  if (node.inputs.size() > arity.most) {
    return fmt::format("has {} inputs, at most {} are allowed", node.inputs.size(), arity.most);
  }
  if (node.inputs.back() == kNone) return "ends with an absent input";
  if (node.outputs.empty() || (arity.outputs != 0 && node.outputs.size() != arity.outputs)) {
    return fmt::format("has {} outputs", node.outputs.size());
  }
  return {};
}

}  // namespace wins::graph
