// Which activations the epilogues of our kernels apply.
#pragma once

#include <tuple>

#include "wins/graph/ops.hpp"
#include "wins/runtime/cuda/fused_layer.hpp"

namespace wins::runtime::cuda {

inline bool in_epilogue(graph::UnaryKind kind) {
  using graph::UnaryKind;
  return kind == UnaryKind::identity || kind == UnaryKind::relu || kind == UnaryKind::clip || kind == UnaryKind::leaky_relu;
}

/// Of a layer with `activation`, `slope`, `low` and `high`; others than those above stay without.
template <class Layer>
void set_activation(const graph::Activation& f, Layer& layer) {
  using graph::UnaryKind;
  if (f.kind == UnaryKind::relu) layer.activation = FusedActivation::relu;
  if (f.kind == UnaryKind::clip || f.kind == UnaryKind::leaky_relu) layer.activation = FusedActivation::general;
  if (f.kind == UnaryKind::clip) std::tie(layer.low, layer.high) = std::tuple(f.alpha, f.beta);
  if (f.kind == UnaryKind::leaky_relu) layer.slope = f.alpha;
}

}  // namespace wins::runtime::cuda
