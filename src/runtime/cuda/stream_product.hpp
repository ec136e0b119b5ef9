// 1x1 convolutions in 16 bits and TF32 that take as long as their bytes: blocks of compute capability 9.0 keep their filters in shared memory and go from
// one tile of pixels to the next; pixels and residuals of the next ones are on their way, and outputs of the last, while one is multiplied.
#pragma once

#include <cuda.h>

#include "implicit_product.hpp"
#include "line_product.hpp"
#include "wins/runtime/cuda/stream_cut.hpp"

namespace wins::runtime::cuda {

struct StreamMaps {
  LineMaps input;
  CUtensorMap residual, output;
};

/// Enqueues the layer, f16, bf16 or tf32; false when the device refused it. `lines` as for the line product, its filters packed for StreamCut::filters.
bool launch_stream_product(Operand operand, const StreamCut& cut, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream);

}  // namespace wins::runtime::cuda
