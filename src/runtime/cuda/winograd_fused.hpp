// A row-pruned (or dense) F(2,3) layer in one kernel, on tensor cores.
//
// A thread block takes a rectangle of tiles of 2 x 2 output pixels and the output channels of one slice. For each
// chunk of input channels it copies the pixels below the tiles to shared memory, transforms them (V, the
// positions that have rows alone) and multiplies V by the slice's work items, whose sums (M) stay in
// registers over all channels; then M goes through shared memory into the inverse transform, bias,
// residual and activation, and each output pixel is written once. Neither V nor M is ever in device memory.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/weights_ahead.hpp"

namespace wins::runtime::cuda {

/// Device pointers.
struct FusedPointers {
  const void* input = nullptr;
  void* output = nullptr;
  const void* residual = nullptr;  ///< or null
  const float* bias = nullptr;     ///< [filters], or null
  const std::uint32_t* fragments = nullptr;
  WeightsAhead ahead = {};
};

/// The same for the copy engine of compute capability 9.0: rectangles of one block.
struct FusedMaps {
  CUtensorMap input, output, residual;
};

/// Enqueues the layer. False when there is no kernel for this shape or the device refused it.
bool launch_winograd_fused(Operand operand, int stride, FusedShape shape, const FusedLayer& layer,
                           const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream);

}  // namespace wins::runtime::cuda
