// Scores that are handed in: gram and obs come from second moments of the layer's inputs on calibration
// pictures (refit/row_scores.hpp), which this room does not gather.
#include "criterion.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

std::vector<double> checked(const LayerView& layer, const Tensor& scores, const Shape& wanted) {
  require(scores.defined(), "{}: no scores of its rows from calibration images", layer.name);
  require(scores.dtype() == DType::f64 && scores.shape() == wanted,
          "{}: its scores are {} {}, not float64 {} (another tile size?)", layer.name, name_of(scores.dtype()),
          wins::to_string(scores.shape()), wins::to_string(wanted));
  const auto values = scores.data<double>();
  return {values.begin(), values.end()};
}

}  // namespace

std::vector<double> given_row_scores(const LayerView& layer, winograd::Axis axis) {
  require(axis == winograd::Axis::row, "{}: its scores are of rows, not of columns or elements", layer.name);
  const Extents extents = extents_of(layer);
  return checked(layer, layer.row_scores, {extents.positions, extents.rows});
}

std::vector<double> given_filter_scores(const LayerView& layer) {
  return checked(layer, layer.filter_scores, {extents_of(layer).rows});
}

}  // namespace wins::pruning
