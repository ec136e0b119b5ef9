// The stages of a network's first convolution (few input channels, any kernel of up to 4 taps in each
// phase of its stride) by F(4 x 4, 4 x 4), per instruction set: what one thread does for one row of tiles.
//
// A convolution of stride s is the sum of s x s convolutions of stride 1, one for each phase (py, px) of
// the input (Huang et al., "DWM", AAAI 2020): a tile of 4 x 4 outputs takes 7 x 7 inputs of every phase of
// every channel, here called a column. Lanes are output channels from the products on, so the output
// needs no transposing; each V is read as a broadcast.
//
// Layouts (N lanes, B channels a block; float32):
//   x      the caller's: [batch][C][H][W]
//   V      [chunk][xi][column][tiles of a chunk], one row of tiles
//   U      one vector of output channels after the other: [xi][column][N], columns that are zero left out
//   y      nChw{B}c, channels padded with zeros
#pragma once

#include <array>
#include <cstdint>

#include "output_activation.hpp"

namespace wins::runtime::cpu {

inline constexpr int kStemTile = 4;       ///< outputs along an axis
inline constexpr int kStemSide = 7;       ///< inputs along an axis
inline constexpr int kStemPositions = 49;
inline constexpr int kStemMaxStride = 2;

struct StemGeometry {
  int block = 16;  ///< B
  std::int64_t batch = 1, channels = 1, in_height = 1, in_width = 1;
  std::int64_t out_channels = 1, out_height = 1, out_width = 1;  ///< of the convolution
  std::array<std::int64_t, 2> kernel{1, 1};
  int stride = 1;  ///< 1 or 2
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t out_pitch = 0;  ///< floats between the images of y
  std::int64_t out_blocks() const { return (out_channels + block - 1) / block; }
  std::int64_t tile_rows() const { return (out_height + kStemTile - 1) / kStemTile; }
  std::int64_t tile_cols() const { return (out_width + kStemTile - 1) / kStemTile; }
  std::int64_t columns() const { return channels * stride * stride; }
  /// Taps of a phase along an axis (0: rows).
  std::int64_t taps(int axis, int phase) const {
    return (kernel[static_cast<std::size_t>(axis)] - phase + stride - 1) / stride;
  }
  /// Column of channel c in phase (py, px). Phases come in the order (0,1), (0,0), (1,0), (1,1): those of 4
  /// taps in rows lie next to each other, and so do those of 4 taps in columns.
  std::int64_t column(int py, int px, std::int64_t c) const {
    const int order = stride == 1 ? 0 : py == 0 ? 1 - px : 2 + px;
    return order * channels + c;
  }
};

/// B and A for points +-a, +-b, +-c, infinity, with rows of A scaled so that a coefficient of each sum is 1.
struct StemCoefficients {
  std::array<float, 3> root{}, low{}, middle{};  ///< (x +- root) (x^4 + middle x^2 + low)
  std::array<float, 3> last{};                   ///< x^6 + last[2] x^4 + last[1] x^2 + last[0]
  std::array<std::array<float, 3>, 4> power{};   ///< [output][pair]; power[0][2], [1][0] and [2][1] are 1
};

/// Columns [first, first + count) of one position have weights.
struct StemPosition {
  std::int32_t first = 0, count = 0;
  std::int64_t offset = 0;  ///< of the weights, in those of one vector
};

struct StemInputTask {
  const StemGeometry* geometry;
  const StemCoefficients* coefficients;
  const float* image;       ///< of one batch entry
  const float* zeros;       ///< stem_row_floats() of them
  std::int64_t tile_row;
  float* v;
  float* scratch;           ///< stem_input_scratch() floats, zero at first; later calls keep what must be zero
};

/// Tiles of a chunk, times one or two vectors of output channels.
struct StemTileTask {
  const StemCoefficients* coefficients;
  const StemPosition* positions;
  const float* weights;        ///< of the first vector
  std::int64_t vector_weights; ///< floats from there to those of the second
  const float* v;              ///< of the first tile
  std::int64_t columns;
  int vectors, tiles;          ///< at most 2 and max_tiles
  float* rows[2][kStemTile];   ///< for each vector: first output pixel in each row; null below the picture
  std::int64_t width;          ///< pixels from there on that exist
  const float* bias;           ///< [vectors][N]; null: neither bias nor activation (the pooling has them)
  OutputActivation activation;
  int channels;                ///< that exist, of both vectors; the others become zero
  float* scratch;              ///< stem_tile_scratch() floats
};

/// One row of pooled pixels of one block of channels: the largest of up to `count` rows, then bias and activation,
/// which are monotone.
struct StemPoolTask {
  const float* const* rows;  ///< count of them, [width][B]
  int count;
  std::int64_t width, pooled_width;
  std::int64_t kernel, stride, pad;  ///< along a row
  const float* bias;
  OutputActivation activation;
  int channels;  ///< of the block that exist
  float* y;
};

struct StemKernels {
  const char* target;
  int lanes;      ///< N
  int chunk;      ///< tiles whose V lie next to each other, a multiple of N
  int max_tiles;  ///< of a task, all in one chunk; divides it
  void (*transform_input)(const StemInputTask&);
  void (*multiply)(const StemTileTask&);
  void (*pool)(const StemPoolTask&);
};

/// Floats in a row of the picture with padding on both sides, room for whole vectors of tiles.
inline std::int64_t stem_row_floats(const StemGeometry& g, int lanes) {
  const std::int64_t step = std::int64_t{kStemTile} * g.stride * lanes;
  const std::int64_t needed = (g.tile_cols() + 1) * kStemTile * g.stride, given = g.pad_left + g.in_width;
  return ((needed > given ? needed : given) + step - 1) / step * step;
}
inline std::int64_t stem_input_scratch(const StemGeometry& g, int lanes) {
  const std::int64_t row = stem_row_floats(g, lanes);
  return kStemSide * ((g.stride + 2) * row + std::int64_t{kStemTile} * g.stride * lanes);
}
constexpr std::int64_t stem_tile_scratch(int max_tiles, int lanes) {
  return std::int64_t{kStemSide} * (1 + kStemTile) * 2 * max_tiles * lanes;
}

/// For the best instruction set of this machine (or the one Highway is told to use).
const StemKernels& stem_kernels();

}  // namespace wins::runtime::cpu
