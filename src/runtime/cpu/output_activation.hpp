// Activations that kernels of our own apply while they write their output.
#pragma once

#include <optional>

#include "wins/graph/ops.hpp"

namespace wins::runtime::cpu {

struct OutputActivation {
  enum class Kind { none, clamp, leaky } kind = Kind::none;
  float low = 0, high = 0;  ///< clamp
  float alpha = 0;          ///< leaky: y < 0 ? alpha y : y
};

/// Nothing when the activation has to run on its own afterwards.
std::optional<OutputActivation> fused_activation(const graph::Activation& activation);

}  // namespace wins::runtime::cpu
