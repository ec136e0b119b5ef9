// How important each pruning unit of a Winograd layer is.
#pragma once

#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/winograd/mask.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::pruning {

enum class Criterion {
  l1,            ///< sum |u|
  l2,            ///< sum u^2
  output_aware,  ///< sum_c u^2 E[V[xi,c]^2] * |A_i|^2 |A_j|^2 * scale_k^2; needs calibration
  fpgm,          ///< distance to the geometric median (He et al., CVPR 2019); FP only
  whc,           ///< weighted hybrid criterion (Chen et al., 2023); FP only
  gram,          ///< place in a greedy order of removal by OBS on one scalar per row; needs `row_scores`
  obs,           ///< Optimal Brain Surgeon (Hassibi & Stork, NIPS 1993) by row; needs `row_scores`
};
/// "l1", "l2", "output-aware", "fpgm", "whc", "gram", "obs"; throws UsageError listing the names.
Criterion parse_criterion(const std::string& text);
std::string to_string(Criterion criterion);
/// Whether the scores are handed in (gram, obs): they come from second moments, which this room does not gather.
bool takes_row_scores(Criterion criterion);

/// What a criterion may look at.
struct LayerView {
  std::string name;        ///< for messages
  const winograd::Algorithm* algorithm = nullptr;
  Tensor U;                ///< [p*p, K, C] float32
  Tensor input_energy;     ///< E[V[xi,c]^2], [p*p, C] float64, or undefined
  Tensor row_scores;       ///< of gram or obs, [p*p, K] float64, or undefined
  Tensor filter_scores;    ///< with them, [K] float64
  /// Factor of output channel k in the batch norm that follows (scale / sqrt(variance + epsilon)),
  /// K entries; empty = 1. With it output-aware does not depend on whether batch norm is folded.
  std::vector<double> output_scale;
};

/// One score per unit of `axis`, position-major like Mask::keep; higher = more important.
/// Throws `Error` when the criterion does not apply to units (FPGM, WHC; gram, obs: other units than rows),
/// lacks calibration, or a score is not finite.
std::vector<double> score_units(Criterion criterion, const LayerView& layer, winograd::Axis axis);

/// One score per filter k (all p*p rows together), for FP. FPGM and WHC see filter k as the vector
/// of its p*p*C Winograd-domain weights; filters that are entirely zero count as removed already.
std::vector<double> score_filters(Criterion criterion, const LayerView& layer);

}  // namespace wins::pruning
