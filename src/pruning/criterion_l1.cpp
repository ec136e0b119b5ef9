// l1: sum |u| (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, on units of U).
#include "criterion.hpp"

namespace wins::pruning {

std::vector<double> l1_scores(const LayerView& layer, winograd::Axis axis) {
  return sum_over_units(layer, axis, [](int, std::int64_t, std::int64_t, double u) { return std::abs(u); });
}

}  // namespace wins::pruning
