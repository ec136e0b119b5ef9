#include "winograd_prediction.hpp"

#include <algorithm>
#include <cmath>

namespace wins::runtime::cuda {
namespace {

/// In instructions of a warp, of numbers as they are multiplied.
struct Costs {
  double product;    ///< of 16 tiles, an item and two units
  double irregular;  ///< the same where a warp has items of several positions
  double turn;       ///< less `Storage::outer` and what its positions take
  double alive;      ///< of a position with rows, in a turn
  double group;      ///< of 32 tiles and 8 output channels: the inverse transform and what follows
  double longer;     ///< than the instructions take
  double wide;       ///< the same of six items a warp in blocks of 512 threads, once more
  double tall;       ///< and of 64 tiles
  double wide_small; ///< and of six items a warp in blocks of 256 threads
};

/// The same for all that activations of so many bytes can be multiplied as.
struct Storage {
  double item, irregular_item;
  double strided_turn;  ///< with stride 2
  double outer;         ///< saved in a turn where only the first and the last column of positions have rows
  double cross;         ///< the same where only the second row and column have rows
  double half;          ///< warps of a scheduler that reach half of its instructions
  double launch, round;            ///< microseconds
  double several;                  ///< longer where a block takes several rectangles
  double meeting, meeting_item;    ///< microseconds of blocks that share their channels, and of their sums
  double late_residual;            ///< microseconds of a rectangle whose residual can come only when its sums are stored
  double busy;                     ///< microseconds more of a launch that takes every multiprocessor
};

constexpr Costs kFloat16{0.352, 0.171, 101, 6.68, 149, 1.04, 0.928, 1.1, 1.01};
constexpr Costs kTf32{1.54, 1.33, 123, 10.2, 455, 0.361, 1.06, 1.17, 1.14};
constexpr Costs kFloat32{3.03, 3.23, 105, 8.24, 453, 0.376, 1.04, 1.41, 1.35};
constexpr Costs kScaledTf32{3.02, 2.01, 159, 6.26, 457, 0.431, 1.07, 1.08, 0.975};
constexpr Costs kScaledFloat32{3.35, 1.96, 172, 15.7, 496, 0.383, 1.1, 1.15, 1.72};
constexpr Storage kTwoBytes{2.06, 3.5, 104, 31.2, 22, 9.29, 0.869, 0.684, 1.06, 0.939, 0.0246, 0, 0.742};
constexpr Storage kFourBytes{5.6, 16.7, 96.8, 27, 12.3, 17.1, 1.26, 0.0325, 1.02, 0.84, 0.0266, 1.79, 0.487};

const Costs& costs_of(const FusedCut& cut) {
  const bool scaled = cut.shape.factors == Factors::scaled;
  switch (cut.operand) {
    case Operand::f32: return scaled ? kScaledFloat32 : kFloat32;
    case Operand::tf32: return scaled ? kScaledTf32 : kTf32;
    default: return kFloat16;
  }
}

/// Instructions of a warp for a rectangle.
double rectangle(const FusedCut& cut, const Costs& costs, const Storage& storage) {
  const FusedShape& shape = cut.shape;
  const int room = shape.items_per_warp, tiles = shape.tiles / 16;
  const bool regular = cut.size.regular_warps.at(static_cast<std::size_t>(room)) <= shape.warps();
  const double item = regular ? storage.item + tiles * 4 * costs.product : storage.irregular_item + tiles * 4 * costs.irregular;
  const double of_warp = regular ? std::clamp(static_cast<double>(cut.size.max_items) / shape.warps(), room - 1.0, static_cast<double>(room)) : std::min(room, cut.size.max_items);
  const double items = of_warp * item * factor_units(shape.units, shape.factors) / kChunkUnits;
  const double saved = cut.size.outer ? storage.outer : cut.size.cross ? storage.cross : 0;
  const double once = cut.stride == 1 ? costs.turn - saved : storage.strided_turn;
  const double turn = once + costs.alive * cut.layer.max_alive + items;
  const double groups = std::max(1.0, cut.slice_channels / 8.0 * (shape.tiles / 32.0) / shape.warps());
  const double wide = room < 6 ? 1 : shape.units > kChunkUnits ? costs.wide : costs.wide_small;
  return (cut.layer.turns * turn + groups * costs.group) * wide * (shape.tiles > 32 ? costs.tall : 1);
}

/// Microseconds in which a multiprocessor gets a rectangle's weights.
double weights_of(const FusedCut& cut, double used) {
  const int parts = cut.operand == Operand::f32 ? 2 : 1;
  return 1.7e-5 * used * cut.size.max_items * 512 * parts * cut.layer.turns * factor_units(cut.shape.units, cut.shape.factors) / 4;
}

}  // namespace

/// Fitted to 18,700 cuts of 88 layers at batch 1, 64 and 128 on an H200: the cut that it chooses takes at most 11 % longer than the best one, on average 0.4 %.
double predict_fused(const FusedCut& cut) {
  const Costs& costs = costs_of(cut);
  const Storage& storage = storage_bytes(cut.operand) == 2 ? kTwoBytes : kFourBytes;
  const FusedLayer& layer = cut.layer;
  const int rounds = (layer.rectangles + layer.grid_blocks - 1) / layer.grid_blocks;
  const double blocks = static_cast<double>(layer.grid_blocks) * layer.slices * layer.splits;
  const double used = std::min<double>(cut.resident, std::ceil(blocks / cut.processors));
  // Clusters of four leave multiprocessors without a block.
  const double waves = std::ceil(blocks / (cut.resident * cut.processors * (layer.splits > 2 ? 0.91 : 1)));
  const double scheduler_warps = used * cut.shape.warps() / 4;
  const double issued = 4 * 0.78 * scheduler_warps / (scheduler_warps + storage.half);  // a clock
  const double pooled = layer.max_pool ? 0.85 : 1;  // writes a quarter (VGG-16)
  const double several = rounds > 1 ? storage.several : 1;
  const double computed = several * pooled * costs.longer * used * cut.shape.warps() * rectangle(cut, costs, storage) / issued / 1750;
  const double met = layer.splits > 1 ? storage.meeting + storage.meeting_item * (layer.splits - 1) * cut.size.max_items * cut.shape.tiles / 32 : 0;
  const double late = cut.residual && !layer.memory.stage_apart ? storage.late_residual : 0;
  return storage.launch + storage.busy * std::min(1.0, blocks / cut.processors) + waves * rounds * (storage.round + weights_of(cut, used) + met + late + computed);
}

}  // namespace wins::runtime::cuda
