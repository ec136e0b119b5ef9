// l2: sum u^2, the squared Euclidean norm (the same ranking without the root).
#include "criterion.hpp"

namespace wins::pruning {

std::vector<double> l2_scores(const LayerView& layer, winograd::Axis axis) {
  return sum_over_units(layer, axis, [](int, std::int64_t, std::int64_t, double u) { return u * u; });
}

}  // namespace wins::pruning
