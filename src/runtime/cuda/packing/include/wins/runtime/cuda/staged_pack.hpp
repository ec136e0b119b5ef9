// Kept rows of a Winograd layer as the staged form multiplies them: one product for each position that has rows.
//
// The rows of all positions stand below each other in one matrix of weights, and their results beside each other in
// M [tile][column], so that a row and its column have the same index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::runtime::cuda {

inline constexpr int kMaxStagedPositions = 36;  ///< F(4,3)
/// Rows of a position are filled up with zeros to a multiple of it, so that its columns of M begin at 16 bytes
/// in every number format.
inline constexpr int kStagedRows = 8;
inline constexpr std::uint16_t kNoColumn = 0xFFFF;

/// One product.
struct StagedPosition {
  std::int32_t xi = 0;
  std::int32_t first_row = 0, rows = 0;  ///< those filled up counted in
};

struct StagedPack {
  Operand operand = Operand::f16;
  std::int64_t channels = 0;  ///< C filled up to 16 bytes
  std::int64_t filters = 0;   ///< K filled up to 16 bytes
  int positions = 0;
  std::vector<StagedPosition> alive;  ///< by xi
  std::int32_t rows = 0;              ///< of all positions
  std::vector<std::byte> weights;     ///< [rows][channels] in the storage type, rounded to tf32 for that operand
  std::vector<std::uint16_t> columns; ///< [position][filters]: the column of M, or kNoColumn for rows without weights

  std::uint64_t alive_mask() const;
  /// Whether all products have equally many rows.
  bool even() const;
};

/// `alive` and `rows` alone.
StagedPack staged_size(const winograd::Mask& mask, Operand operand);

/// Packs U [positions, K, C] under a row mask. Throws `Error` when the mask has another axis, too many positions or
/// rows, or a kept weight is not finite or does not fit float16.
StagedPack pack_staged(const Tensor& U, const winograd::Mask& mask, Operand operand);

}  // namespace wins::runtime::cuda
