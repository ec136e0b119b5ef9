// Kept rows of a Winograd layer in the order in which the fused CUDA kernel multiplies them.
//
// A *work item* is 8 kept rows of one position: the n of one tensor core instruction. The items of all
// positions stand in one list that is dealt out evenly to the warps of a thread block, so that uneven
// positions cost nothing but their last, unfilled items; a position without rows does not appear.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::runtime::cuda {

/// What the tensor cores multiply; sums are float32.
enum class Operand : std::uint8_t {
  f16,
  bf16,
  tf32,
  f32,  ///< as the sum of two TF32 numbers: three products for one
};

/// Bytes of an activation in memory: 2, or 4 for tf32 and f32.
constexpr int storage_bytes(Operand operand) { return operand == Operand::f16 || operand == Operand::bf16 ? 2 : 4; }
/// Channels in 16 bytes of activations: 8 or 4.
int unit_channels(Operand operand);

inline constexpr int kItemRows = 8;
inline constexpr int kMostWarpItems = 6;   ///< of the shapes that were built
inline constexpr int kChunkUnits = 8;      ///< 16-byte units of channels between two barriers
inline constexpr int kMaxPositions = 25;   ///< F(2,3) with stride 2
inline constexpr int kGroupChannels = 8;   ///< of output channels that one thread transforms

/// Consecutive output channels that one thread block computes. Plain data: kernels read it as it is.
struct RowSlice {
  std::int32_t first_channel = 0, channels = 0;
  std::int32_t items = 0;
  std::int32_t alive = 0;         ///< positions with rows
  std::uint32_t alive_mask = 0;   ///< bit xi
  std::int64_t first_fragment = 0;  ///< words, of the slice's weights
};

/// How factors are multiplied where activations are float32: as they are (TF32, or as two TF32 numbers for f32), or as float16 under a power of two (two
/// of them for f32).
enum class Factors : std::uint8_t { plain, scaled };

/// Channels in 16 bytes of factors.
int factor_channels(Operand operand, Factors factors);

struct RowPack {
  Operand operand = Operand::f16;
  Factors factors = Factors::plain;
  int exponent = 0;  ///< weights are multiplied by 2^exponent; 0 unless scaled
  int positions = 0;
  std::int64_t channels = 0, filters = 0;  ///< C, K
  int chunks = 0;                          ///< of kChunkUnits units, over C
  std::vector<RowSlice> slices;
  /// Of each item the place of its position among those alive: [slice][max_items].
  std::vector<std::uint8_t> item_positions;
  int max_items = 0;     ///< of one slice
  int max_alive = 0;
  int max_channels = 0;  ///< of one slice
  /// [slice][group of kGroupChannels][group_words()]: of each position, bit k set where the group's channel k has
  /// a row, from bit 8 on how many of the first four have one, and from bit 16 on the row of the first of them in the slice's list; the others follow it.
  std::vector<std::uint32_t> groups;
  /// Weights: [slice][chunk][half][item][part][lane][4 words]; two parts for f32 (high, low), else one. Words 0
  /// and 1 are the B fragment of two units (mma m16n8k16 or m16n8k8), 2 and 3 of the next two.
  std::vector<std::uint32_t> fragments;

  int group_words() const { return (positions + 3) / 4 * 4; }
  int slice_groups() const { return (max_channels + kGroupChannels - 1) / kGroupChannels; }
  int parts() const { return operand == Operand::f32 ? 2 : 1; }
  int unit() const { return factor_channels(operand, factors); }
  std::size_t weight_bytes() const { return fragments.size() * 4 + groups.size() * 4; }
};

/// What a pack of a row mask would have, without packing.
struct PackSize {
  int slices = 0;
  int max_items = 0, max_alive = 0;  ///< of one slice
  bool outer = true;  ///< no position has rows but those of the first and the last column of 4 x 4
  bool cross = true;  ///< the same of its second row and second column
  /// [n]: warps that a slice needs where each holds n items, all of one position.
  std::array<int, kMostWarpItems + 1> regular_warps{};
};
PackSize pack_size(const winograd::Mask& mask, int slice_channels);

/// Packs U [positions, K, C] under a row mask in slices of at most `slice_channels` output channels.
/// Throws `Error` when a mask has another axis, more than kMaxPositions positions, or a kept weight
/// that is not finite or does not fit float16. `factors`: plain unless the operand is tf32 or f32.
RowPack pack_rows(const Tensor& U, const winograd::Mask& mask, Operand operand, int slice_channels, Factors factors = Factors::plain);

/// IEEE binary16 and bfloat16, round to nearest even.
std::uint16_t to_float16(float value);
float from_float16(std::uint16_t bits);
std::uint16_t to_bfloat16(float value);
float from_bfloat16(std::uint16_t bits);
/// The nearest number with 10 bits of fraction, ties to even.
float to_tf32(float value);
/// A weight as tensor cores take it; `part` 0 or 1 of an f32 one. Throws `Error` when it is not finite or does not
/// fit float16.
std::uint32_t operand_bits(float value, Operand operand, int part);

}  // namespace wins::runtime::cuda
