// Scores of the column vectors of a 1x1 convolution: what l1, l2 and output-aware say of a row, for a part of a column.
// Output-aware: weight w[k,c] adds w x_c to every output pixel of channel k, in the mean square w^2 E[x_c^2]; a batch norm
// that follows multiplies it by its factor, terms of one vector are different output channels.
#include <cmath>
#include <span>

#include "wins/base/error.hpp"
#include "wins/pruning/columns.hpp"

namespace wins::pruning {
namespace {

/// scale_k^2, or ones.
std::vector<double> squared_scale(const ColumnView& layer) {
  std::vector<double> scale = layer.output_scale;
  if (scale.empty()) scale.assign(static_cast<std::size_t>(layer.weights.dim(0)), 1.0);
  require(static_cast<std::int64_t>(scale.size()) == layer.weights.dim(0), "{}: {} output scales for {} channels",
          layer.name, scale.size(), layer.weights.dim(0));
  for (double& s : scale) s *= s;
  return scale;
}

std::span<const double> energy_of(const ColumnView& layer) {
  require(layer.input_energy.defined(), "{}: the output-aware criterion needs calibration images", layer.name);
  const Shape wanted{1, layer.weights.dim(1)};
  require(layer.input_energy.dtype() == DType::f64 && layer.input_energy.shape() == wanted,
          "{}: calibration is {} {}, not float64 {}", layer.name, name_of(layer.input_energy.dtype()),
          wins::to_string(layer.input_energy.shape()), wins::to_string(wanted));
  return layer.input_energy.data<double>();
}

/// `importance(k, c, w)` added up over each vector, for a weight of it.
template <class Importance>
std::vector<double> mean_over_vectors(const ColumnView& layer, std::int64_t block, const Importance& importance) {
  const graph::ColumnMask units = graph::ColumnMask::full(layer.weights.dim(0), layer.weights.dim(1), block);
  std::vector<double> scores(units.keep.size(), 0.0);
  const auto w = layer.weights.data<float>();
  for (std::int64_t k = 0; k < units.rows; ++k) {
    const auto height = static_cast<double>(units.height(k / block));
    for (std::int64_t c = 0; c < units.columns; ++c) {
      const auto value = static_cast<double>(w[static_cast<std::size_t>(k * units.columns + c)]);
      scores[static_cast<std::size_t>(k / block * units.columns + c)] += importance(k, c, value) / height;
    }
  }
  for (const double score : scores)
    require(std::isfinite(score), "{}: a weight or calibration value is NaN or infinite", layer.name);
  return scores;
}

}  // namespace

Criterion column_criterion(Criterion criterion) {
  switch (criterion) {
    case Criterion::l1:
    case Criterion::l2:
    case Criterion::output_aware: return criterion;
    case Criterion::gram:
    case Criterion::obs: return Criterion::output_aware;
    case Criterion::fpgm:
    case Criterion::whc: return Criterion::l2;
  }
  fail("unknown criterion {}", static_cast<int>(criterion));
}

std::vector<double> score_columns(Criterion criterion, const ColumnView& layer, std::int64_t block) {
  if (criterion == Criterion::l1)
    return mean_over_vectors(layer, block, [](std::int64_t, std::int64_t, double w) { return std::abs(w); });
  if (criterion == Criterion::l2)
    return mean_over_vectors(layer, block, [](std::int64_t, std::int64_t, double w) { return w * w; });
  require(criterion == Criterion::output_aware, "{}: criterion {} does not rank columns of a 1x1 convolution", layer.name,
          to_string(criterion));
  const std::vector<double> scale = squared_scale(layer);
  const auto energy = energy_of(layer);
  return mean_over_vectors(layer, block, [&](std::int64_t k, std::int64_t c, double w) {
    return w * w * energy[static_cast<std::size_t>(c)] * scale[static_cast<std::size_t>(k)];
  });
}

}  // namespace wins::pruning
