// The three stages of a fused Winograd layer, per instruction set: what one thread does for one
// block of tiles. Tiles lie across the vector lanes from the end of the input transform to the
// start of the output's.
//
// Layouts (N lanes, `vectors` lane groups in a block of tiles, float32):
//   x, y   nChw{B}c: [batch][ceil(C/B)][H][W][B], channels padded with zeros, B a multiple of N
//   V      [slot][pair][c][2N]; a slot is a live position, a pair two lane groups (the last pair of
//          an odd count holds one). Panels keep room for all padded channels.
//   U      one group after the other, [c][rows]
//   M      [row][vectors * N]; row 0 is all zero and stands for every pruned row
#pragma once

#include <array>
#include <cstdint>

#include "output_activation.hpp"

namespace wins::runtime::cpu {

struct WinogradGeometry {
  int m = 2;
  int stride = 1;  ///< 2 with m = 2 alone
  int block = 16;  ///< B
  std::int64_t batch = 1, in_channels = 1, in_height = 1, in_width = 1;
  std::int64_t out_channels = 1, out_height = 1, out_width = 1;
  std::int64_t pad_top = 1, pad_left = 1;
  std::int64_t tile_rows = 1, tile_cols = 1;
  /// Floats between images; 0: they are next to each other.
  std::int64_t in_pitch = 0, out_pitch = 0, residual_pitch = 0;
  int p() const { return (m - 1) * stride + 3; }
  int positions() const { return p() * p(); }
  std::int64_t tiles() const { return batch * tile_rows * tile_cols; }
  std::int64_t in_blocks() const { return (in_channels + block - 1) / block; }
  std::int64_t out_blocks() const { return (out_channels + block - 1) / block; }
};

/// Non-zero entries of B and A for points 0, +-a, +-b, ..., infinity, where rows of a +- pair share
/// an even part and differ in the sign of an odd part.
struct PairedCoefficients {
  std::array<float, 4> first{};                 ///< B[2s, 0]
  std::array<float, 4> last{};                  ///< B[2s + 1, p - 1]
  std::array<std::array<float, 3>, 3> even{};   ///< [pair][s]: B[2s + 2, 1 + 2 pair]
  std::array<std::array<float, 3>, 3> odd{};    ///< [pair][s]: B[2s + 1, 1 + 2 pair]
  std::array<std::array<float, 3>, 6> power{};  ///< [a][pair]: A[1 + 2 pair, a]
};

/// One tile, found once for all channels. Offsets are floats from the tensor's start (its first
/// channel block) to the tile's first pixel, which for the input may lie in the padding.
struct TilePosition {
  std::int64_t input = 0, output = 0, residual = 0;
  std::uint64_t inside = 0;   ///< bit i * p + j: input pixel (i, j) of the tile is in the picture
  std::uint64_t written = 0;  ///< bit a * m + b: output pixel (a, b) is; 0 where there is no tile
};
/// A mask of `bits` ones.
constexpr std::uint64_t all_pixels(int bits) { return bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1; }

struct InputTask {
  const WinogradGeometry* geometry;
  const PairedCoefficients* coefficients;
  const float* x;
  const TilePosition* tiles;  ///< vectors * N of them
  int vectors;
  std::int64_t first_block, last_block;  ///< channel blocks [first, last)
  const std::int32_t* slots;             ///< [p * p], -1 for dead positions
  const std::int32_t* columns;  ///< [slot][padded c]: row of c in its panel, -1 pruned; null: identity
  float* v;
  float* scratch;  ///< input_scratch() floats
};

/// Up to `max_rows` rows of U of one position.
struct RowGroup {
  std::int32_t slot = 0;
  std::int32_t rows = 0;
  std::int32_t columns = 0;    ///< entries of each row
  std::int32_t first_row = 0;  ///< in M
  std::int64_t offset = 0;     ///< of the weights
};

/// Dense groups read `weights`, or `halves` where that is not null (bfloat16.hpp, overlapping).
struct MultiplyTask {
  const RowGroup* groups;
  std::int64_t group_count;
  const float* weights;
  const std::uint16_t* halves;
  const std::int32_t* indices;  ///< sparse groups: channel of each weight
  const float* v;
  std::int64_t panel_rows;  ///< padded channels
  int vectors;
  float* m;
};

struct OutputTask {
  const WinogradGeometry* geometry;
  const PairedCoefficients* coefficients;
  const float* m;
  const TilePosition* tiles;
  int vectors;
  std::int64_t first_block, last_block;  ///< output channel blocks [first, last)
  const std::int32_t* m_rows;            ///< [k - first_block * B][p * p]: row of M
  const float* bias;                     ///< [padded K]
  const float* residual;                 ///< like y but for its pitch, or null
  float* y;
  OutputActivation activation;
  float* scratch;  ///< output_scratch() floats
};

struct WinogradKernels {
  const char* target;  ///< "avx3", "avx2", "sse4", ...
  int lanes;           ///< N
  int max_rows;        ///< of a dense group
  void (*transform_input)(const InputTask&);
  void (*multiply)(const MultiplyTask&);         ///< dense groups
  void (*multiply_sparse)(const MultiplyTask&);  ///< one CSR row a group
  void (*transform_output)(const OutputTask&);
};

/// Scratch floats of the transforms.
constexpr std::int64_t transform_scratch(int p, int lanes) {
  return std::int64_t{1} * p * p * (lanes * lanes + 2 * lanes);
}

/// For the best instruction set of this machine (or the one Highway is told to use).
const WinogradKernels& winograd_kernels();

}  // namespace wins::runtime::cpu
