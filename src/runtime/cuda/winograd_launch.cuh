// The kernels of winograd_fused.hpp by shape, and their launches; built in a file for each operand.
#pragma once

#include <iterator>
#include <utility>

#include "launch_chain.cuh"
#include "winograd_fused.cuh"

namespace wins::runtime::cuda {

template <Operand kOperand, int kStride, int kTiles, int kItems, int kUnits, Factors kFactors, bool kOneTurn>
__global__ void __launch_bounds__(kTiles* kUnits, (FusedKernel<kOperand, kStride, kTiles, kItems, kUnits, kFactors>::kResident))
    winograd_fused(const __grid_constant__ FusedLayer layer, const __grid_constant__ FusedPointers pointers,
                   const __grid_constant__ FusedMaps maps, const __grid_constant__ FusedGroups groups) {
  FusedKernel<kOperand, kStride, kTiles, kItems, kUnits, kFactors>::template run<kOneTurn>(layer, pointers, maps, groups);
}

/// Blocks that share their channels.
template <Operand kOperand, int kTiles, int kItems, int kUnits>
__global__ void __launch_bounds__(kTiles* kUnits, 1) winograd_split(const __grid_constant__ FusedLayer layer, const __grid_constant__ FusedPointers pointers,
                                                                   const __grid_constant__ FusedMaps maps, const __grid_constant__ FusedGroups groups) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  FusedKernel<kOperand, 1, kTiles, kItems, kUnits, Factors::plain, true>::template run<false>(layer, pointers, maps, groups);
#endif
}

/// What all launches of a layer share.
struct FusedLaunch {
  const FusedLayer& layer;
  const FusedPointers& pointers;
  const FusedMaps& maps;
  const FusedGroups& groups;
  cudaStream_t stream;
};

/// Launches one shape. Small blocks have little memory for registers, so that layers of one turn have a kernel of their own.
template <Operand kOperand, int kStride, Factors kFactors, std::size_t kShape>
bool launch_one(const FusedLaunch& launch) {
  constexpr FusedShape shape = kFusedShapes[kShape];
  constexpr int kThreads = 32 * shape.warps();
  const FusedLayer& layer = launch.layer;
  auto kernel = &winograd_fused<kOperand, kStride, shape.tiles, shape.items_per_warp, shape.units, kFactors, false>;
  if constexpr (kThreads == 256) {
    if (layer.turns == 1) kernel = &winograd_fused<kOperand, kStride, shape.tiles, shape.items_per_warp, shape.units, kFactors, true>;
  }
  if constexpr (can_split(shape) && kStride == 1 && kFactors == Factors::plain) {
    if (layer.splits > 1) kernel = &winograd_split<kOperand, shape.tiles, shape.items_per_warp, shape.units>;
  }
  const dim3 grid(static_cast<unsigned>(layer.grid_blocks), static_cast<unsigned>(layer.slices), static_cast<unsigned>(layer.splits));
  return launch_clusters_early(layer.splits, kernel, grid, kThreads, layer.memory.bytes, launch.stream, layer, launch.pointers, launch.maps, launch.groups);
}

/// False where there is no such shape, or its launch failed.
template <Operand kOperand, int kStride, Factors kFactors, std::size_t... kShapes>
bool launch_any(FusedShape shape, const FusedLaunch& launch, std::index_sequence<kShapes...>) {
  const auto is = [&](const FusedShape& one) { return shape.tiles == one.tiles && shape.items_per_warp == one.items_per_warp && shape.units == one.units; };
  return ((is(kFusedShapes[kShapes]) && launch_one<kOperand, kStride, kFactors, kShapes>(launch)) || ...);
}

template <Operand kOperand, int kStride>
bool launch_shape(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps, const FusedGroups& groups,
                  cudaStream_t stream) {
  const FusedLaunch launch{layer, pointers, maps, groups, stream};
  constexpr auto all = std::make_index_sequence<std::size(kFusedShapes)>();
  if (shape.factors == Factors::plain) return launch_any<kOperand, kStride, Factors::plain>(shape, launch, all);
  if constexpr (kStride == 1 && storage_bytes(kOperand) == 4) return launch_any<kOperand, kStride, Factors::scaled>(shape, launch, all);
  return false;
}

}  // namespace wins::runtime::cuda
