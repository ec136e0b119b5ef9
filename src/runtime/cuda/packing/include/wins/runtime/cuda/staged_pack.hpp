// Kept rows of a Winograd layer as the staged form multiplies them: one product for each position that has rows.
//
// The rows of all positions stand below each other in one matrix of weights, and their results in M [row][tile], so
// that a row of weights and of M have the same index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::runtime::cuda {

inline constexpr int kMaxStagedPositions = 36;  ///< F(4,3)
inline constexpr int kMaxStagedRows = 65535;     ///< of all positions
/// Output channels that a thread transforms at once: their sums of m * m pixels stay in registers.
inline constexpr int kStagedGroup = 4;

/// One product.
struct StagedPosition {
  std::int32_t xi = 0;
  std::int32_t first_row = 0, rows = 0;
  std::int32_t first_item = 0;  ///< of kItemRows rows; positions begin with new items

  std::int32_t items() const { return (rows + kItemRows - 1) / kItemRows; }
};

struct StagedPack {
  Operand operand = Operand::f16;
  std::int64_t channels = 0;  ///< C filled up to 16 bytes
  std::int64_t chunks = 0;    ///< of kChunkUnits units of 16 bytes, over the channels
  std::int64_t filters = 0;   ///< K
  int positions = 0;
  std::vector<StagedPosition> alive;  ///< by xi
  std::int32_t rows = 0;              ///< of all positions
  /// [position][chunk][item][part][unit of the chunk][row of the item][16 bytes]: 8 rows of a unit are a matrix of 8 x 16 bytes as
  /// tensor core instructions load it, and what a block needs of a chunk lies together. Parts as in RowPack: f32 has a high and a
  /// low one. Zeros where there is no row or channel.
  std::vector<std::byte> weights;
  /// [position][group of kStagedGroup channels]: bit k set where the group's channel k has a row, and from bit 16 on
  /// the row of the first of these; the others follow it.
  std::vector<std::uint32_t> groups;

  std::int64_t group_count() const { return (filters + kStagedGroup - 1) / kStagedGroup; }
  std::uint64_t alive_mask() const;
};

/// Parts of a weight.
constexpr int staged_parts(Operand operand) { return operand == Operand::f32 ? 2 : 1; }

/// All but `weights` and `groups`.
StagedPack staged_size(const winograd::Mask& mask, Operand operand);

/// Packs U [positions, K, C] under a row mask. Throws `Error` when the mask has another axis, too many positions or
/// rows, or a kept weight is not finite or does not fit float16.
StagedPack pack_staged(const Tensor& U, const winograd::Mask& mask, Operand operand);

}  // namespace wins::runtime::cuda
