#include "output_activation.hpp"

#include <limits>

namespace wins::runtime::cpu {

std::optional<OutputActivation> fused_activation(const graph::Activation& activation) {
  using graph::UnaryKind;
  using Kind = OutputActivation::Kind;
  switch (activation.kind) {
    case UnaryKind::identity:
      return OutputActivation{};
    case UnaryKind::relu:
      return OutputActivation{Kind::clamp, 0, std::numeric_limits<float>::infinity(), 0};
    case UnaryKind::clip:
      return OutputActivation{Kind::clamp, activation.alpha, activation.beta, 0};
    case UnaryKind::leaky_relu:
      return OutputActivation{Kind::leaky, 0, 0, activation.alpha};
    default:
      return std::nullopt;
  }
}

}  // namespace wins::runtime::cpu
