// What the criteria share. Private to the room.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "wins/pruning/criteria.hpp"

namespace wins::pruning {

/// Sizes of U, checked.
struct Extents {
  int positions = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};
Extents extents_of(const LayerView& layer);

/// Adds up `importance(xi, k, c, u)` over the weights of each unit of `axis`.
template <class Importance>
std::vector<double> sum_over_units(const LayerView& layer, winograd::Axis axis, const Importance& importance) {
  const auto [positions, rows, columns] = extents_of(layer);
  const winograd::Mask units = winograd::Mask::full(axis, positions, rows, columns);
  const auto u = layer.U.data<float>();
  std::vector<double> scores(units.keep.size(), 0.0);
  for (int xi = 0; xi < positions; ++xi) {
    for (std::int64_t k = 0; k < rows; ++k) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const std::int64_t weight = k * columns + c;
        const std::int64_t unit = axis == winograd::Axis::row ? k : axis == winograd::Axis::column ? c : weight;
        const auto value = static_cast<double>(u[static_cast<std::size_t>(xi * rows * columns + weight)]);
        scores[static_cast<std::size_t>(xi * units.units() + unit)] += importance(xi, k, c, value);
      }
    }
  }
  return scores;
}

/// Filters as vectors: result[k] holds the p*p*C weights of filter k.
std::vector<std::vector<double>> filter_vectors(const LayerView& layer);

// One file per criterion.
std::vector<double> l1_scores(const LayerView& layer, winograd::Axis axis);
std::vector<double> l2_scores(const LayerView& layer, winograd::Axis axis);
std::vector<double> output_aware_scores(const LayerView& layer, winograd::Axis axis);
std::vector<double> fpgm_filter_scores(const LayerView& layer);
std::vector<double> whc_filter_scores(const LayerView& layer);
std::vector<double> given_row_scores(const LayerView& layer, winograd::Axis axis);
std::vector<double> given_filter_scores(const LayerView& layer);

}  // namespace wins::pruning
