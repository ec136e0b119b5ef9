// The first convolution of a network with the max-pool behind it, as its CUDA kernel takes them: shapes, how blocks cut them,
// filters in the order of the tensor cores. Host code, tested without a GPU; the kernel reads these structs as they are.
//
// A block keeps the pixels below its outputs in shared memory, four channels each in 16 bits: 16 bytes are an aligned pair of
// neighbouring columns. With stride 2 the windows of neighbouring outputs begin 16 bytes apart, so that eight of them, and
// the pairs of each, are matrices of the tensor cores as they lie there: nothing is unfolded. A kernel row is one or
// two steps of four columns. With stride 1 the even columns of the output are a convolution of column stride 2, and the odd
// ones (the other parity) another, whose filters are shifted by one column more or less.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/divisor.hpp"
#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kStemChannels = 4;      ///< at most, of the input
inline constexpr int kStemStep = 2;          ///< columns of the input from one window to the next
inline constexpr int kStemThreads = 128;     ///< of a block: four warps of 16 filters
inline constexpr int kStemFilters = 64;      ///< of a block
inline constexpr int kStemPixelBytes = 8;    ///< of a patch
inline constexpr int kPoolSize = 3, kPoolStride = 2;

/// Kernels that were built: others run in the next larger one, between zeros.
struct StemShape {
  int rows = 7;
  int steps = 2;    ///< of four columns, of a kernel row
  int tile = 112;   ///< windows of a row that a block multiplies, a multiple of 16: columns of the convolution, of one parity
};

/// Input [batch, channels, height, width], float32; convolution [batch, filters, conv_height, conv_width], which is the output
/// without a pool. The output is NHWC with `output_pitch` elements a pixel; channels that fill the last 16 bytes are
/// written as zeros. All tensors have less than 2^31 elements.
struct StemLayer {
  std::int32_t batch = 1, channels = 1, height = 1, width = 1;
  std::int32_t conv_height = 1, conv_width = 1, filters = 1;
  std::int32_t out_height = 1, out_width = 1, output_pitch = 0;
  std::int32_t stride = 2;                           ///< of the convolution, 1 or 2
  std::int32_t pad_top = 0, pad_left = 0;            ///< of the convolution
  bool pool = false;                                 ///< 3x3, stride 2; not with a convolution of stride 1
  std::int32_t pool_pad_top = 0, pool_pad_left = 0;  ///< 0 or 1
  float slope = 1, low = -kInfinity, high = kInfinity;  ///< min(max(y, slope y, low), high)
  /// Outputs of a block, and blocks.
  std::int32_t block_rows = 1, block_columns = 1;
  std::int32_t grid_rows = 1, grid_columns = 1, slices = 1;
  Divisor by_grid_columns, by_patch_groups;
};

/// Columns of the convolution that begin in the same pair of columns of the input.
WINS_DEVICE constexpr int stem_parities(int stride) { return stride == 1 ? 2 : 1; }
/// Zero columns in front of the kernel, so that windows begin at even columns of the input.
WINS_DEVICE constexpr int stem_shift(const StemLayer& layer, int parity) { return (layer.pad_left + parity) % 2; }
/// Column of the input at which the window of output column 0 begins.
WINS_DEVICE constexpr int first_column(const StemLayer& layer) { return -layer.pad_left - stem_shift(layer, 0); }
/// Bytes of the patch from the windows of parity 0 to those of parity 1: a pair where the latter are shifted less.
WINS_DEVICE constexpr int parity_bytes(const StemLayer& layer) { return layer.pad_left % 2 * kStemStep * kStemPixelBytes; }
/// Columns of the patch before the block's first window: 0 or 2. A patch begins at a multiple of four columns.
WINS_DEVICE constexpr int patch_lead(const StemLayer& layer) { return (first_column(layer) & 3); }
/// Windows of a block's row that have pixels of their own, in eights. What others read belongs to something else; their sums are
/// dropped.
constexpr int stem_windows(const StemLayer& layer, StemShape shape) {
  const int parities = stem_parities(layer.stride), all = ((layer.conv_width + parities - 1) / parities + 7) / 8 * 8;
  return all < shape.tile ? all : shape.tile;
}
/// Four columns each, of a patch row.
constexpr int patch_groups(const StemLayer& layer, StemShape shape) {
  const int behind = layer.stride == 1 ? parity_bytes(layer) / kStemPixelBytes : 0;
  return (patch_lead(layer) + kStemStep * (stem_windows(layer, shape) - 1) + behind + 4 * shape.steps + 3) / 4;
}

/// Rows of the convolution below `rows` outputs.
WINS_DEVICE constexpr int conv_rows(const StemLayer& layer, int rows) { return layer.pool ? kPoolStride * (rows - 1) + kPoolSize : rows; }
constexpr int stem_patch_rows(const StemLayer& layer, StemShape shape) {
  return layer.stride * (conv_rows(layer, layer.block_rows) - 1) + shape.rows;
}
/// The convolution's column at which a block begins whose first output is column `column`: with stride 2 an even one, with
/// stride 1 a multiple of four.
WINS_DEVICE constexpr int first_conv_column(const StemLayer& layer, int column) {
  if (!layer.pool) return column;
  const int first = kPoolStride * (column - layer.pool_pad_left);
  return first < 0 ? 0 : first;
}

/// Bytes from one pixel to the next of a row of outputs on its way to memory: 16 more, for the banks.
WINS_DEVICE constexpr int stem_stage_pitch(int element_bytes) { return kStemFilters * element_bytes + 16; }

/// Parities of a row that lie in the stage at once: 16 bits of 64 filters alone are 128 bytes in every 256, which memory takes 7 %
/// slower (measured on an H100); twice that is as fast, and leaves room for more blocks.
WINS_DEVICE constexpr int stem_staged(int stride, int element_bytes) { return stride == 1 && element_bytes == 2 ? 2 : 1; }

/// Windows of a row that go through the stage: with stride 1 none that has no pixels.
constexpr int staged_windows(const StemLayer& layer, StemShape shape) { return layer.stride == 1 ? stem_windows(layer, shape) : shape.tile; }

/// Shared memory of a block: patches of one or two parts, and behind them a row of outputs, parity by parity. The kernel
/// reads this struct too.
struct StemMemory {
  std::int32_t patch_pitch = 0, part_bytes = 0;  ///< of a row, of a part
  std::int32_t stage = 0, parity_pitch = 0;      ///< where it begins, and from one parity to the next
  std::int32_t bytes = 0;

  constexpr StemMemory(const StemLayer& layer, StemShape shape, int parts, int element_bytes) {
    patch_pitch = patch_groups(layer, shape) * 4 * kStemPixelBytes;
    part_bytes = stem_patch_rows(layer, shape) * patch_pitch;
    stage = parts * part_bytes;
    parity_pitch = (layer.pool ? shape.tile / 2 : staged_windows(layer, shape)) * stem_stage_pitch(element_bytes);
    // Windows without pixels read this far behind the patches.
    const int staged = stem_staged(layer.stride, element_bytes) * parity_pitch, behind = (shape.tile - stem_windows(layer, shape)) * kStemStep * kStemPixelBytes;
    bytes = stage + (staged > behind ? staged : behind);
  }
};

/// Precisions multiply in 16 bits: fp32 and tf32 as float16 under a power of two that fits the block's pixels and one that
/// fits the filter, fp32 as high and low parts (three products for one). 11 significant bits each are those of TF32, at twice its rate.
WINS_DEVICE constexpr int stem_parts(Operand operand) { return operand == Operand::f32 ? 2 : 1; }
WINS_DEVICE constexpr bool is_scaled(Operand operand) { return operand == Operand::f32 || operand == Operand::tf32; }
inline constexpr int kStemScaleLimit = 60;  ///< exponents of both powers lie between -60 and 60

/// Blocks that a multiprocessor holds by registers: one more without a pool and with filters of 3 rows.
WINS_DEVICE constexpr int stem_blocks(Operand operand, int stride, int rows) { return (operand == Operand::f32 ? 2 : 3) + (stride == 1 && rows == 3 ? 1 : 0); }

/// Those that were built.
std::vector<StemShape> stem_shapes();
/// Of every parity.
std::vector<int> stem_shifts(const StemLayer& layer);
/// The kernel with `rows` x `columns` (columns with the largest shift) and least zeros; rows of 0 when none is large enough.
StemShape stem_shape(int rows, int columns, int tile);

struct StemDevice {
  int processors = 132;
  int shared_bytes = 227 * 1024;  ///< of a block, at most
  bool warp_groups = true;        ///< Hopper's tensor core instructions
};

/// Microseconds that a cut layer takes, by a model fitted to times of an H200 (within 8 % in the mean); infinite when a block does
/// not fit.
double predict_stem(const StemLayer& layer, StemShape shape, Operand operand, const StemDevice& device);

/// Cuts a layer with everything before `block_rows` set: the kernel and the rows of a block that take the least time.
/// `columns` with the largest shift. A shape with rows of 0 when no block fits.
StemShape cut_stem(StemLayer& layer, int rows, int columns, Operand operand, const StemDevice& device);
/// The same with rows and kernel given.
void cut_stem_rows(StemLayer& layer, StemShape shape, int block_rows);

struct StemPack {
  int slices = 0;  ///< of kStemFilters
  /// A fragments: [slice][parity][part][kernel row][step][thread][4 words]; of m64k16.
  std::vector<std::uint32_t> fragments;
  /// Of each filter, what its sums are multiplied with; empty unless is_scaled.
  std::vector<float> scales;
};

/// Packs W [K, C, kh, kw], for each parity behind so many columns of zeros. Throws `Error` on a weight that is not finite or
/// does not fit float16.
StemPack pack_stem(const Tensor& weights, const std::vector<int>& shifts, StemShape shape, Operand operand);

}  // namespace wins::runtime::cuda
