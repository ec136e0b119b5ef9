#include "equivalent_filters.hpp"

#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {

Tensor equivalent_filters(const Problem& problem) {
  const auto& op = *problem.node.as<graph::WinogradConv>();
  Tensor U = *problem.constant(1);
  const std::int64_t filters = U.dim(1), channels = U.dim(2);
  const std::span<float> values = U.mutable_data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    if (!op.mask.weight_kept(static_cast<int>(at / channels / filters), at / channels % filters, at % channels)) values[i] = 0;
  }
  return winograd::equivalent_convolution(winograd::algorithm(op.m, op.r, op.stride), U);
}

}  // namespace wins::runtime::cuda
