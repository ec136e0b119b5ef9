// The sums of a tile of pixels and filters on their way to memory: bias, residual, activation.
#pragma once

#include "implicit_product.hpp"
#include "storage.cuh"
#include "tensor_core.cuh"

namespace wins::runtime::cuda {

/// NaN stays NaN.
inline __device__ float activate(const ProductLayer& layer, float x) {
  if (layer.activation == FusedActivation::none) return x;
  if (layer.activation == FusedActivation::relu) return x < 0 ? 0 : x;
  x = x < 0 ? x * layer.slope : x;
  x = x < layer.low ? layer.low : x;
  return x > layer.high ? layer.high : x;
}

template <Operand kOperand, int kPixels, int kFilters>
struct ProductOutput {
  using F = Format<kOperand>;
  using Storage = typename F::Storage;

  /// A tile's residual on its way to the second-level cache, where its last loads will find it.
  static __device__ void fetch_residual(const ProductLayer& layer, const ProductPointers& p, int pixel_tile, int filter_tile) {
    constexpr int kLine = 128 / static_cast<int>(sizeof(Storage)), kLines = kFilters / kLine;  // elements
    const int pixels = layer.batch * layer.out_height * layer.out_width;
#pragma unroll
    for (int i = 0; i < kPixels * kLines / kThreads; ++i) {
      const int line = i * kThreads + static_cast<int>(threadIdx.x), pixel = pixel_tile * kPixels + line / kLines;
      const int filter = filter_tile * kFilters + line % kLines * kLine;
      if (pixel >= pixels || filter >= layer.filters) continue;
      asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const Storage*>(p.residual) + static_cast<std::int64_t>(pixel) * layer.residual_pitch + filter));
    }
  }

  /// Where a thread's unit of filters goes.
  struct Target {
    int filter, exist;  ///< in a pixel of the output; how many of the unit are filters, the others are zeros
    int dy, dx;         ///< of the output of a tile

    __device__ Target(const ProductLayer& layer, int first) : filter(first), exist(layer.filters - first), dy(0), dx(0) {
      if (layer.part == 0) return;
      const int q = first / layer.part;
      filter -= q * layer.part;
      exist = layer.part_channels - filter;
      dy = q / 2;
      dx = q % 2;
    }
    /// The output's pixel, or -1 where it has none.
    __device__ int pixel(const ProductLayer& layer, int given) const {
      if (given >= layer.batch * layer.out_height * layer.out_width) return -1;
      if (layer.part == 0) return given;
      int x = given;
      const int image = layer.by_out_image.divide(x), y = 2 * layer.by_out_width.divide(x) + dy;
      x = 2 * x + dx;
      return y < layer.tiled_height && x < layer.tiled_width ? (image * layer.tiled_height + y) * layer.tiled_width + x : -1;
    }
  };

  /// Adds `count` parts of the tile's sums, each with `pitch` floats a pixel, and writes whole units: filters past the last are zeros.
  static __device__ void write(const ProductLayer& layer, const ProductPointers& p, std::uint32_t pixel_tile, std::uint32_t filter_tile, const float* sums, int pitch,
                               int count) {
    constexpr int kUnits = kFilters / F::kChannels, kRows = kThreads / kUnits, kRounds = kPixels / kRows, kTogether = kRounds < 4 ? kRounds : 4;
    const int column = static_cast<int>(threadIdx.x) % kUnits * F::kChannels, filter = static_cast<int>(filter_tile) * kFilters + column;
    if (filter >= layer.filters) return;
    const Target target(layer, filter);
    float bias[F::kChannels];
#pragma unroll
    for (int i = 0; i < F::kChannels; ++i) bias[i] = p.bias != nullptr && filter + i < layer.filters ? p.bias[filter + i] : 0.0F;
    const int first_row = static_cast<int>(threadIdx.x) / kUnits, first_pixel = static_cast<int>(pixel_tile) * kPixels;
    for (int round = 0; round < kRounds; round += kTogether) {
      uint4 residual[kTogether] = {};  // all on their way together
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        if (p.residual == nullptr) continue;
        const int pixel = target.pixel(layer, first_pixel + (round + j) * kRows + first_row);
        if (pixel < 0) continue;
        const auto* from = static_cast<const Storage*>(p.residual) + static_cast<std::int64_t>(pixel) * layer.residual_pitch + target.filter;
        residual[j] = *reinterpret_cast<const uint4*>(from);
      }
#pragma unroll
      for (int j = 0; j < kTogether; ++j) {
        const int row = (round + j) * kRows + first_row, pixel = target.pixel(layer, first_pixel + row);
        if (pixel < 0) continue;
        float x[F::kChannels];
        load_unit(reinterpret_cast<const Storage*>(&residual[j]), x);
#pragma unroll
        for (int c = 0; c < F::kChannels; c += 4) {
          for (int part = 0; part < count; ++part) {
            const float4 sum = *reinterpret_cast<const float4*>(sums + (part * kPixels + row) * pitch + column + c);
            x[c] += sum.x;
            x[c + 1] += sum.y;
            x[c + 2] += sum.z;
            x[c + 3] += sum.w;
          }
        }
#pragma unroll
        for (int i = 0; i < F::kChannels; ++i) x[i] = i < target.exist ? activate(layer, x[i] + bias[i]) : 0.0F;
        store_unit(static_cast<Storage*>(p.output) + static_cast<std::int64_t>(pixel) * layer.output_pitch + target.filter, x);
      }
    }
  }
};

}  // namespace wins::runtime::cuda
