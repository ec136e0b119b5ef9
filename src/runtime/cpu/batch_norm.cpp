#include "batch_norm.hpp"

#include <algorithm>

#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cpu {

BatchNormFactors batch_norm_factors(const graph::Graph& graph, const graph::Node& node, int block) {
  const auto padded = [block](const std::vector<float>& values) {
    AlignedFloats result(round_up(static_cast<std::int64_t>(values.size()), block));
    std::fill_n(result.data(), result.size(), 0.0F);
    std::copy(values.begin(), values.end(), result.data());
    return result;
  };
  const ScaleShift factors = scale_shift_of(graph, node);
  return {padded(factors.scale), padded(factors.shift)};
}

}  // namespace wins::runtime::cpu
