// Convolutions in 16 bits and TF32 whose pixels come to shared memory by whole lines, through the copy engine of compute capability 9.0.
//
// Such layers take about as long as their bytes, if enough of them are on their way. One thread of a block asks for a chunk at a
// time, 128 bytes of channels of all its pixels and the filters that belong to them; nothing else is copied by threads. A batch norm and
// ReLU before the layer is applied to the pixels in registers, on their way to the tensor cores. A second 1x1 convolution, of stride 1, whose
// result is added has its chunks behind those of the first: a longer sum.
#pragma once

#include <cuda.h>

#include "implicit_product.hpp"
#include "wins/runtime/cuda/line_pack.hpp"
#include "wins/runtime/cuda/weights_ahead.hpp"

namespace wins::runtime::cuda {

inline constexpr int kLineStages = 3;

/// Bytes of a chunk in shared memory: pixels, swizzled as the copy engine does, filters, scale and shift.
constexpr int line_stage_bytes(int filters) { return kLineChunkBytes + filters * kChunkUnits * 16 + 1024; }
constexpr int line_shared_bytes(int filters) {
  const int stages = kLineStages * line_stage_bytes(filters), tile = kLinePixels * (filters + 8) * 4;
  return (stages > tile ? stages : tile) + kLineStages * 8;
}

/// Tiles of pixels and filters; below 2^31, as pixels are.
constexpr std::int32_t line_tiles(const ProductLayer& layer, int filters) {
  const std::int64_t pixels = std::int64_t{layer.batch} * layer.out_height * layer.out_width;
  return static_cast<std::int32_t>((pixels + kLinePixels - 1) / kLinePixels * ((layer.filters + filters - 1) / filters));
}

struct LinePointers {
  const std::uint32_t* filters = nullptr;  ///< pack_lines
  const float* affine = nullptr;           ///< pack_affine, or null
  const void* added = nullptr;             ///< input of the convolution that is added, or null
  std::int32_t added_units = 0, added_pitch = 0;
  std::int32_t chunks = 1, own_chunks = 1;  ///< all; those of the layer's own input, the first ones
  Divisor by_filter_tiles;
  Divisor by_tap_chunks, by_kernel_columns;  ///< of the layer's own kernel
  WeightsAhead ahead = {};
};

/// How the copy engine finds pixels.
struct LineMaps {
  CUtensorMap own, added;
};

/// False when the driver refuses.
bool encode_maps(Operand operand, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, LineMaps& maps);

/// `body`'s operator() of the operand where lines are multiplied as it, else false.
template <class Body>
bool with_line_operand(Operand operand, const Body& body) {
  switch (operand) {
    case Operand::f16: return body.template operator()<Operand::f16>();
    case Operand::bf16: return body.template operator()<Operand::bf16>();
    case Operand::tf32: return body.template operator()<Operand::tf32>();
    case Operand::f32: return false;
  }
  return false;
}

/// Enqueues the layer, f16, bf16 or tf32, by blocks of `filters`; false when the device refused it or has no copy engine. Of `pointers` the input, output, residual and
/// bias count; of `layer` the input's lower bound where there is a scale.
bool launch_line_product(Operand operand, int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream);

}  // namespace wins::runtime::cuda
