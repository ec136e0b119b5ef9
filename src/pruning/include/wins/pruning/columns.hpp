// BCBP: 1x1 convolutions pruned in columns of row blocks.
//
// Park et al., "Balanced Column-Wise Block Pruning for Maximizing GPU Parallelism", AAAI 2023; the WINS paper uses it for
// the 1x1 convolutions of ResNet-50. The K x C weights are cut into blocks of rows; inside a block whole column vectors
// (the block's height x 1) go, so that a vector of output channels shares one list of input channels.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/pruning/criteria.hpp"

namespace wins::pruning {

struct ColumnPruning {
  double ratio = 0.5;       ///< column vectors to remove / column vectors of a layer, [0, 1)
  std::int64_t block = 16;  ///< output channels of a block: the CPU engine's vector block
  bool balanced = true;     ///< every block of a layer keeps equally many columns
};

/// The matrix of one 1x1 convolution.
struct ColumnView {
  std::string name;        ///< for messages
  Tensor weights;          ///< [K, C, 1, 1] float32
  Tensor input_energy;     ///< E[x_c^2], [1, C] float64, or undefined
  std::vector<double> output_scale;  ///< as in LayerView: K entries; empty = 1
};

/// The criterion that ranks columns where `criterion` ranks the rows of Winograd layers: l1, l2 and output-aware are the
/// same; gram and obs, which score rows, give way to output-aware, FPGM and WHC, which score filters, to l2.
Criterion column_criterion(Criterion criterion);

/// One score per column vector, [blocks, C], higher = more important: the sum over the vector's weights w[k,c] of |w| (l1),
/// w^2 (l2) or w^2 E[x_c^2] scale_k^2 (output-aware), over the block's height: a short last block competes by weight.
/// Throws `Error` for other criteria, without the calibration that it needs, and when a score is not finite.
std::vector<double> score_columns(Criterion criterion, const ColumnView& layer, std::int64_t block);

/// The columns to keep, out of those that `before` keeps. From the ranking over the whole layer the lowest vectors go until
/// round(ratio * vectors) are gone, counted from the unpruned layer; a block's last column stays. That gives each block a
/// ratio of its own; when `balanced`, their mean, rounded to whole columns, then holds for every block, and each keeps its
/// best ones (all of them where an earlier step has left fewer). A ratio that earlier steps have reached changes nothing.
/// Among equal scores the lower index goes first.
/// Throws `Error` for a ratio outside [0, 1), a block other than the mask's, and scores that do not fit or are NaN.
graph::ColumnMask select_columns(const ColumnPruning& pruning, const graph::ColumnMask& before,
                                 const std::vector<double>& scores);

/// Nodes that BCBP may touch, in graph order: 1x1 Conv of group 1 with constant float32 weights, any stride, C > 4.
/// `reasons` gets one line per other 1x1 Conv.
std::vector<std::string> column_layers(const graph::Graph& graph, std::map<std::string, std::string>* reasons = nullptr);

}  // namespace wins::pruning
