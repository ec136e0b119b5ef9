// A Winograd layer as the fused CUDA kernel takes it: shapes, how blocks cut it, where a block keeps what. Host code,
// tested without a GPU; the kernel reads these structs as they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "wins/runtime/cuda/divisor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// What the epilogue applies; other functions need a step of their own.
enum class FusedActivation : std::uint8_t {
  none,
  relu,
  general,  ///< min(max(x < 0 ? slope x : x, low), high)
};

inline constexpr int kMaxSlices = 64;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A kernel that was built.
struct FusedShape {
  int tiles = 32;  ///< 32 or 64
  int items_per_warp = 4;
  int units = kChunkUnits;  ///< of channels between two barriers: 8 or 16; a block has a thread for each tile and unit
  Factors factors = Factors::plain;
  int splits = 1;  ///< blocks that share a rectangle's channels, a cluster of compute capability 9.0; stride 1
  constexpr int warps() const { return tiles * units / 32; }
  constexpr int max_items() const { return items_per_warp * warps(); }
};

/// Those that were built, with plain factors; scaled ones have all of them too, where activations are float32 and the stride is 1.
inline constexpr FusedShape kFusedShapes[] = {{32, 2}, {32, 3}, {32, 4}, {32, 6}, {64, 2}, {64, 3}, {64, 4}, {32, 1, 16}, {32, 2, 16}, {32, 3, 16}, {32, 4, 16}, {32, 6, 16}};

/// Blocks of 512 threads with few items: for layers that leave most multiprocessors without a block.
constexpr bool can_split(const FusedShape& shape) { return shape.units == 16 && shape.items_per_warp <= 4 && shape.factors == Factors::plain; }

/// What a block keeps where in shared memory, computed once per layer. Bytes, offsets from 0.
///
/// Patches come first; V lies behind them, M over V, and the *stage* behind M, or behind both: residuals, then outputs of a block, as the copy
/// engine takes them: [line][pixel][16-byte unit], where a line has 32, 64 or 128 bytes of channels.
struct BlockMemory {
  std::int32_t patch_buffers = 1;  ///< 2: the next chunk's pixels arrive while this one is multiplied
  std::int32_t patch_bytes = 0, patch_row_bytes = 0;
  std::int32_t V = 0;
  std::int32_t unit_bytes = 0;  ///< of one unit of V: 16 a tile, and such a number of them that what a warp writes at once lies in different banks
  std::int32_t part_bytes = 0;  ///< of V's high parts, where the low ones begin
  std::int32_t exchange = 0;    ///< a word for each warp, where factors are scaled
  std::int32_t patches = 0, pixels = 0;  ///< a word for each tile: where it begins in a patch, in bytes, and in the stage, in pixels
  std::int32_t bias = 0;        ///< of the slice's channels; what lies behind the last one is read, and not used
  std::int32_t stage = 0;
  bool stage_apart = false;  ///< V does not reach it: outputs may still leave it, and residuals come, while pixels are transformed and multiplied
  std::int32_t stage_columns = 0;  ///< pixels of a row
  std::int32_t stage_line_bits = 0;  ///< of the index of a unit in a line: 1, 2 or 3
  std::int32_t stage_line_bytes = 0, stage_lines = 0;
  std::int32_t stage_pitch = 0;  ///< from line to line; the copy engine's order of units repeats every 1024 bytes
  std::int32_t barriers = 0;     ///< 8 bytes each: one a patch, one of the residual
  std::int32_t bytes = 0;
};

/// Shapes of a layer and how it is cut. Activations are NHWC; a pitch is elements from one pixel to the next, a
/// multiple of 16 bytes; channels that fill the last 16 bytes are read and must be finite; they are written
/// as zeros. A tensor has less than 2^31 bytes. With `max_pool` (2x2, stride 2, no pads) the outputs are the pool's: one a tile.
struct FusedLayer {
  std::int32_t batch = 1;
  std::int32_t height = 1, width = 1, channels = 1;  // of the input
  std::int32_t out_height = 1, out_width = 1, filters = 1;
  bool max_pool = false;
  std::int32_t pad_top = 0, pad_left = 0;
  std::int32_t input_pitch = 0, output_pitch = 0, residual_pitch = 0;
  FusedActivation activation = FusedActivation::none;
  float slope = 1, low = -kInfinity, high = kInfinity;  ///< of FusedActivation::general
  /// Tiles of a block, over images, rows and columns, and blocks.
  std::int32_t block_images = 1, block_rows = 1, block_columns = 1;
  std::int32_t grid_images = 1, grid_rows = 1, grid_columns = 1;
  Divisor by_block_tiles, by_block_columns, by_grid_rows, by_grid_columns, by_patch_rows, by_patch_columns, by_units;
  std::int32_t block_tiles = 1;   ///< product of block_*
  std::int32_t rectangles = 1;    ///< product of grid_*
  std::int32_t grid_blocks = 1;   ///< of one slice; each takes every grid_blocks-th rectangle
  BlockMemory memory;
  // Of the pack:
  std::int32_t turns = 0;  ///< of a block, FusedShape::units at a time, over its chunks
  std::int32_t splits = 1;  ///< FusedShape::splits
  std::int32_t chunks = 0, slices = 0, max_items = 0, max_alive = 0, slice_groups = 0;
  float unscale = 1;  ///< of the weights: 2^-RowPack::exponent
  RowSlice slice[kMaxSlices];
};

/// RowPack::groups and item_positions, as arguments of the kernel: then branches on them are known to be the same in
/// all lanes.
struct FusedGroups {
  static constexpr int kMax = 2048;  ///< 8 KB: 1024 output channels, 584 with stride 2
  static constexpr int kMaxItems = 4096;  ///< of all slices, each counted as the largest
  alignas(16) std::uint32_t words[kMax];
  std::uint8_t positions[kMaxItems];
  static constexpr int kMaxWarps = 16;
  std::uint8_t first_item[kMaxSlices][kMaxWarps + 1];  ///< of each warp, and behind the last warp's
};

/// p and the pixels from one tile to the next of F(2,3).
WINS_DEVICE constexpr int tile_size(int stride) { return stride == 1 ? 4 : 5; }
WINS_DEVICE constexpr int tile_step(int stride) { return 2 * stride; }

/// Rounds in which a block copies its pixels: eight threads take the eight units of one.
WINS_DEVICE constexpr int copy_rounds(int stride) { return stride == 1 ? 8 : 20; }
WINS_DEVICE constexpr int max_patch_pixels(int stride, int tiles) { return copy_rounds(stride) * tiles; }

/// Pixels below so many tiles in a row or column.
WINS_DEVICE constexpr int patch_extent(int tiles, int stride) { return (tiles - 1) * tile_step(stride) + tile_size(stride); }
WINS_DEVICE constexpr int patch_rows(const FusedLayer& layer, int stride) { return patch_extent(layer.block_rows, stride); }
WINS_DEVICE constexpr int patch_columns(const FusedLayer& layer, int stride) { return patch_extent(layer.block_columns, stride); }
WINS_DEVICE constexpr int patch_pixels(const FusedLayer& layer, int stride) {
  return layer.block_images * patch_rows(layer, stride) * patch_columns(layer, stride);
}

/// Rows and columns of outputs of a tile.
WINS_DEVICE constexpr int tile_outputs(const FusedLayer& layer) { return layer.max_pool ? 1 : 2; }

/// Floats of one row of M: 4 more than the tiles, so that the 8 tiles and 4 row pairs of an accumulator lie in
/// different banks.
WINS_DEVICE constexpr int m_pitch(int tiles) { return tiles + 4; }

/// Blocks that a multiprocessor holds at once, at most: what their registers allow.
WINS_DEVICE constexpr int most_resident_blocks(int threads, int items_per_warp, int element_bytes) {
  return threads > 256 ? 1 : element_bytes == 2 && items_per_warp <= 4 ? 3 : 2;
}

/// kFusedShapes with both kinds of factors, and those that `can_split` in two and four.
std::vector<FusedShape> fused_shapes();

/// The first item of each warp, and behind the last one's: no warp has items of two positions where that fits, else as many as it can hold each.
/// `positions`: of all items of a slice, in order.
std::vector<std::uint8_t> deal_items(std::span<const std::uint8_t> positions, FusedShape shape);

/// Chooses the rectangle of tiles: the one that needs the fewest blocks, then the smallest patch. Needs
/// everything of `layer` before `block_images`, and `slice_groups`.
void cut_tiles(FusedLayer& layer, int stride, int tiles, int element_bytes);

/// Units of V in a turn of so many units of pixels.
WINS_DEVICE constexpr int factor_units(int units, Factors factors) { return factors == Factors::scaled ? units / 2 : units; }

/// What the cut runs on.
struct Multiprocessors {
  int count = 1;
  int shared_bytes = 0;  ///< of one block, at most
};
inline constexpr int kSystemBytes = 1024;  ///< of a multiprocessor's shared memory for each block, beside the block's own

/// Blocks that take `items` in as few rounds as `at_once` of them do, all about as many.
constexpr std::int32_t even_blocks(std::int32_t items, std::int32_t at_once) { return divide_up(items, divide_up(items, std::max(1, at_once))); }

/// Lays out the memory of a block and deals the rectangles out; needs the tiles' cut and what is of the pack. Two patches,
/// and a stage apart from V, where they leave as many blocks resident. Gives the blocks that a multiprocessor holds at once, 0 when
/// not even one fits, or the turns cannot be split evenly.
int lay_out(FusedLayer& layer, int stride, FusedShape shape, Operand operand, const Multiprocessors& processors);

}  // namespace wins::runtime::cuda
