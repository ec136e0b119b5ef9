// 1x1 convolutions pruned in columns (BCBP): a product of kept channels alone, on tensor cores.
//
// A thread block takes a tile of output pixels and filters. Chunk by chunk it copies whole lines of the pixels to shared memory, as they
// lie, and the compact filters; the pixels of kept channels are gathered from there into registers, where tensor cores take them, so that
// leaving channels out makes the copies neither more nor shorter. All strips of filters in a tile gather from the same pixels.
#pragma once

#include <cuda.h>

#include "implicit_product.hpp"
#include "wins/runtime/cuda/column_pack.hpp"

namespace wins::runtime::cuda {

/// A ColumnPack on the device.
struct ColumnPointers {
  const uint4* steps = nullptr;
  const ColumnChunk* chunks = nullptr;
  const std::int32_t* first_chunk = nullptr;
  std::int32_t channels = 1;  ///< of the input, with those that fill a unit
  Divisor by_filter_tiles;
};

/// Enqueues the layer, tf32 or f32; false when the device refused it. Of `pointers` the input, output, residual and bias count.
bool launch_column_product(Operand operand, ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns,
                           cudaStream_t stream);

}  // namespace wins::runtime::cuda
