// One chunk of an implicit product in shared memory.
#pragma once

#include "tensor_core.cuh"
#include "wins/runtime/cuda/product_cut.hpp"

namespace wins::runtime::cuda {

/// The tile's pixels as [unit][pixel] of 16 bytes, then its filters as in FilterPack::matrices, of each item first all high
/// parts where there are two. 16 bytes behind each unit's pixels bring 8 units of a pixel to different banks, for those who write them so.
template <Operand kOperand, ProductTile kTile, int kPad = 16>
struct ProductStage {
  static constexpr ProductTile kProductTile = kTile;
  static constexpr int kPixels = kProductTiles[static_cast<int>(kTile)].pixels, kFilters = kProductTiles[static_cast<int>(kTile)].filters;
  static constexpr int kItems = kFilters / kItemRows;
  static constexpr int kParts = kOperand == Operand::f32 ? 2 : 1;
  static constexpr int kUnitBytes = kPixels * 16 + kPad;
  static constexpr int kPixelBytes = kChunkUnits * kUnitBytes;
  static constexpr int kMatrixBytes = kItemRows * 16, kPartBytes = kChunkUnits * kMatrixBytes, kItemBytes = kParts * kPartBytes;
  static constexpr int kBytes = kPixelBytes + kItems * kItemBytes;

  /// Where this lane's part of a fragment of 16 pixels and two units begins.
  static __device__ std::uint32_t fragment(std::uint32_t stage, int first_pixel) {
    const std::uint32_t lane = threadIdx.x % 32;
    return stage + lane / 16 * kUnitBytes + (first_pixel + lane % 16) * 16;
  }

  /// A fragment of pixels as its parts.
  static __device__ void load_fragment(std::uint32_t address, std::uint32_t (&a)[kParts][4]) {
    load_matrices(address, a[0]);
    if constexpr (kOperand == Operand::f32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[1][i] = FloatFormat::split(a[0][i]);
    } else if constexpr (kOperand == Operand::tf32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[0][i] = FloatFormat::near_tf32(a[0][i]);
    }
  }

  /// 16 bytes of filters, copied to `address` as float32, as their parts.
  static __device__ void split_filters(std::uint32_t address) {
    uint4 high = load_shared(address);
    const uint4 low = {FloatFormat::split(high.x), FloatFormat::split(high.y), FloatFormat::split(high.z), FloatFormat::split(high.w)};
    store_shared(address, high);
    store_shared(address + kPartBytes, low);
  }
};

}  // namespace wins::runtime::cuda
