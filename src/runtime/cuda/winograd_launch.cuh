// The kernels of winograd_fused.hpp by shape, and their launches; built in a file for each operand.
#pragma once

#include "launch_chain.cuh"
#include "winograd_fused.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, int kStride, int kTiles, int kItems, int kUnits, Factors kFactors, bool kOneTurn>
__global__ void __launch_bounds__(FusedKernel<kOperand, kStride, kTiles, kItems, kUnits, kFactors>::kThreads, FusedKernel<kOperand, kStride, kTiles, kItems, kUnits, kFactors>::kResident)
    winograd_fused(const __grid_constant__ FusedLayer layer, const __grid_constant__ FusedPointers pointers,
                   const __grid_constant__ FusedMaps maps, const __grid_constant__ FusedGroups groups) {
  FusedKernel<kOperand, kStride, kTiles, kItems, kUnits, kFactors>::template run<kOneTurn>(layer, pointers, maps, groups);
}

using FusedFunction = void (*)(FusedLayer, FusedPointers, FusedMaps, FusedGroups);

inline bool launch_fused(FusedFunction kernel, int threads, const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps, const FusedGroups& groups,
                         cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(layer.grid_blocks), static_cast<unsigned>(layer.slices));
  return launch_early(kernel, grid, threads, layer.memory.bytes, stream, layer, pointers, maps, groups);
}

/// Launches one shape. Small blocks have little memory for registers, so that layers of one turn have a kernel of their own.
template <Operand kOperand, int kStride, Factors kFactors, int kTiles, int kItems, int kUnits>
bool launch_one(const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps, const FusedGroups& groups, cudaStream_t stream) {
  FusedFunction kernel = &winograd_fused<kOperand, kStride, kTiles, kItems, kUnits, kFactors, false>;
  if constexpr (kTiles * kUnits == 256) {
    if (layer.turns == 1) kernel = &winograd_fused<kOperand, kStride, kTiles, kItems, kUnits, kFactors, true>;
  }
  return launch_fused(kernel, kTiles * kUnits, layer, pointers, maps, groups, stream);
}

template <Operand kOperand, int kStride, Factors kFactors>
bool launch_factors(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps, const FusedGroups& groups,
                  cudaStream_t stream) {
  const auto is = [&](int tiles, int items, int units) { return shape.tiles == tiles && shape.items_per_warp == items && shape.units == units; };
  if (is(32, 2, 8)) return launch_one<kOperand, kStride, kFactors, 32, 2, 8>(layer, pointers, maps, groups, stream);
  if (is(32, 3, 8)) return launch_one<kOperand, kStride, kFactors, 32, 3, 8>(layer, pointers, maps, groups, stream);
  if (is(32, 4, 8)) return launch_one<kOperand, kStride, kFactors, 32, 4, 8>(layer, pointers, maps, groups, stream);
  if (is(32, 6, 8)) return launch_one<kOperand, kStride, kFactors, 32, 6, 8>(layer, pointers, maps, groups, stream);
  if (is(64, 2, 8)) return launch_one<kOperand, kStride, kFactors, 64, 2, 8>(layer, pointers, maps, groups, stream);
  if (is(64, 3, 8)) return launch_one<kOperand, kStride, kFactors, 64, 3, 8>(layer, pointers, maps, groups, stream);
  if (is(64, 4, 8)) return launch_one<kOperand, kStride, kFactors, 64, 4, 8>(layer, pointers, maps, groups, stream);
  if (is(32, 1, 16)) return launch_one<kOperand, kStride, kFactors, 32, 1, 16>(layer, pointers, maps, groups, stream);
  if (is(32, 2, 16)) return launch_one<kOperand, kStride, kFactors, 32, 2, 16>(layer, pointers, maps, groups, stream);
  if (is(32, 3, 16)) return launch_one<kOperand, kStride, kFactors, 32, 3, 16>(layer, pointers, maps, groups, stream);
  if (is(32, 4, 16)) return launch_one<kOperand, kStride, kFactors, 32, 4, 16>(layer, pointers, maps, groups, stream);
  if (is(32, 6, 16)) return launch_one<kOperand, kStride, kFactors, 32, 6, 16>(layer, pointers, maps, groups, stream);
  return false;
}

template <Operand kOperand, int kStride>
bool launch_shape(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps, const FusedGroups& groups,
                  cudaStream_t stream) {
  if (shape.factors == Factors::plain) return launch_factors<kOperand, kStride, Factors::plain>(shape, layer, pointers, maps, groups, stream);
  if constexpr (kStride == 1 && storage_bytes(kOperand) == 4) return launch_factors<kOperand, kStride, Factors::scaled>(shape, layer, pointers, maps, groups, stream);
  return false;
}

}  // namespace wins::runtime::cuda
