// Any convolution with one group as a product of pixels and filters on tensor cores, without an im2col matrix in memory.
//
// A thread block takes a tile of output pixels and filters. Chunk by chunk it copies what the windows of its pixels hold and the
// packed filters to shared memory, the next chunks on their way, and multiplies; sums stay in registers and go through shared memory
// into bias, residual and activation, so that whole lines are written. Where there are few tiles several blocks share one, each with a
// part of the sum; the last of them to finish adds the parts, in the same order every time.
//
// For fp32 this is far faster than what runs on the plain arithmetic units: three TF32 products for one.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "wins/runtime/cuda/divisor.hpp"
#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/product_cut.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// Shapes; activations are NHWC as in FusedLayer.
struct ProductLayer {
  std::int32_t batch = 1, height = 1, width = 1;  // of the input
  std::int32_t out_height = 1, out_width = 1, filters = 1;
  std::int32_t kernel_rows = 1, kernel_columns = 1, stride_y = 1, stride_x = 1, dilation_y = 1, dilation_x = 1, pad_top = 0, pad_left = 0;
  std::int32_t input_pitch = 0, output_pitch = 0, residual_pitch = 0;
  FusedActivation activation = FusedActivation::none;
  float slope = 1, low = -kInfinity, high = kInfinity;
  float input_low = -kInfinity;                           ///< 0: a ReLU behind the scale and shift of the input
  std::int32_t items = 0, row_units = 0, row_chunks = 0;  // of the FilterPack
  /// More than 0: filters are so many for each output of a 2x2 tile, of which `part_channels` exist, and a pixel (y, x) of theirs is
  /// (2 y + q / 2, 2 x + q % 2), in images of tiled_height x tiled_width.
  std::int32_t part = 0, part_channels = 0, tiled_height = 0, tiled_width = 0;
  Divisor by_units;                                       // of a pixel's channels
  Divisor by_out_image, by_out_width;                     // pixels of an output image, of one of its rows
};

WINS_DEVICE inline bool is_strided(const ProductLayer& layer) { return layer.stride_y != 1 || layer.stride_x != 1; }
/// Whether an output's inputs are other pixels than the one in its place.
WINS_DEVICE inline bool has_windows(const ProductLayer& layer) {
  return is_strided(layer) || layer.kernel_rows != 1 || layer.kernel_columns != 1 || layer.pad_top != 0 || layer.pad_left != 0;
}

struct ProductPointers {
  const void* input = nullptr;
  void* output = nullptr;
  const void* residual = nullptr;  ///< or null
  const float* bias = nullptr;     ///< [filters], or null
  const std::uint32_t* filters = nullptr;  ///< FilterPack::matrices
  /// [2][row_chunks x kChunkUnits units], scale and shift of the input's channels, zeros where there are none; or null. Kernels of 1x1
  /// without pads alone: a pad must stay zero.
  const float* input_affine = nullptr;
  float* partial = nullptr;           ///< ProductCut::workspace_floats, when several blocks share a tile
  std::uint32_t* finished = nullptr;  ///< [tiles], zeros before and after a run
};

/// Rows and columns of an image, and what a dilated kernel spans.
inline constexpr int kMaxProductExtent = 8000;

/// Enqueues the layer; false when the device refused it.
bool launch_implicit_product(Operand operand, const ProductCut& cut, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream);

}  // namespace wins::runtime::cuda
