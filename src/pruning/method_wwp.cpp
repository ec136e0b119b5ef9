// WWP: single Winograd-domain weights (Li, Park & Tang, "Enabling Sparse Winograd Convolution by
// Native Pruning", 2017; Liu et al., "Efficient Sparse-Winograd Convolutional Neural Networks",
// ICLR 2018): the finest unit, and an irregular one.
#include "selection.hpp"
#include "wins/base/error.hpp"

namespace wins::pruning {

winograd::Mask select_wwp(const Selection& selection, const std::vector<double>& scores) {
  require(selection.axis == winograd::Axis::element, "WWP removes single weights: axis must be element");
  require(selection.round_to == 1, "WWP has no rows to round to a multiple of {}", selection.round_to);
  return select_wins(selection, scores);
}

}  // namespace wins::pruning
