#include "batch_norm.hpp"

#include <algorithm>
#include <cmath>

namespace wins::runtime::cpu {

bool has_constant_statistics(const graph::Graph& graph, const graph::Node& node) {
  for (std::size_t i = 1; i < 5; ++i) {
    if (graph.constant_input(node, i) == nullptr) return false;
  }
  return true;
}

BatchNormFactors batch_norm_factors(const graph::Graph& graph, const graph::Node& node, int block) {
  const auto values = [&](std::size_t i) { return graph.constant_input(node, i)->data<float>(); };
  const auto scale = values(1), shift = values(2), mean = values(3), variance = values(4);
  const auto channels = static_cast<std::int64_t>(scale.size());
  BatchNormFactors factors{AlignedFloats(round_up(channels, block)), AlignedFloats(round_up(channels, block))};
  std::fill_n(factors.scale.data(), factors.scale.size(), 0.0F);
  std::fill_n(factors.shift.data(), factors.shift.size(), 0.0F);
  const double epsilon = std::get<graph::BatchNorm>(node.op).epsilon;
  for (std::size_t c = 0; c < scale.size(); ++c) {
    const double factor = scale[c] / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    factors.scale.data()[c] = static_cast<float>(factor);
    factors.shift.data()[c] = static_cast<float>(shift[c] - factor * mean[c]);
  }
  return factors;
}

}  // namespace wins::runtime::cpu
