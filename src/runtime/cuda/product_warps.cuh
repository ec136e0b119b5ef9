// Sums of an implicit product by tensor core instructions of single warps.
#pragma once

#include "product_stage.cuh"

namespace wins::runtime::cuda {

/// How 8 warps share a tile: each has kBlocks x 16 pixels and kItems x 8 filters.
template <int kPixelWarps_, int kBlocks_, int kItems_>
struct WarpGrid {
  static constexpr int kPixelWarps = kPixelWarps_, kBlocks = kBlocks_, kItems = kItems_;
};
template <ProductTile kTile>
struct WarpGridOf;
template <>
struct WarpGridOf<ProductTile::wide> : WarpGrid<2, 4, 4> {};
template <>
struct WarpGridOf<ProductTile::tall> : WarpGrid<4, 2, 4> {};
template <>
struct WarpGridOf<ProductTile::narrow> : WarpGrid<8, 1, 4> {};
template <>
struct WarpGridOf<ProductTile::small> : WarpGrid<2, 2, 2> {};

template <Operand kOperand, class Stage>
class WarpSums {
  using F = Format<kOperand>;
  using Grid = WarpGridOf<Stage::kProductTile>;
  static constexpr int kBlocks = Grid::kBlocks, kItems = Grid::kItems, kParts = Stage::kParts;
  static_assert(Grid::kPixelWarps * kBlocks * 16 == Stage::kPixels && 8 / Grid::kPixelWarps * kItems * 8 == Stage::kFilters);

 public:
  /// Makes what this thread wrote to shared memory visible to those who read it in `add`, after a barrier.
  static __device__ void publish() {}

  /// One chunk; calls `meanwhile`, whose copies are on their way while this multiplies.
  template <class Meanwhile>
  __device__ void add(std::uint32_t stage, bool /*never*/, const Meanwhile& meanwhile) {
    meanwhile();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t a = Stage::fragment(stage, first_pixel()) + half * 4 * Stage::kUnitBytes;
      const std::uint32_t b = stage + Stage::kPixelBytes + first_item() * Stage::kItemBytes + half * 4 * Stage::kMatrixBytes + threadIdx.x % 32 * 16;
      if constexpr (kOperand == Operand::f32) add_in_parts(a, b);
      else add_half(a, b);
    }
  }

  /// Calls `visit(pixel, filter, sum, sum of the next filter)`.
  template <class Visit>
  __device__ void for_each_pair(const Visit& visit) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        const int pixel = first_pixel() + block * 16 + lane / 4, filter = (first_item() + s) * kItemRows + lane % 4 * 2;
        visit(pixel, filter, sums_[block][s][0], sums_[block][s][1]);
        visit(pixel + 8, filter, sums_[block][s][2], sums_[block][s][3]);
      }
    }
  }

 private:
  static __device__ int first_pixel() { return static_cast<int>(threadIdx.x) / 32 % Grid::kPixelWarps * kBlocks * 16; }
  static __device__ int first_item() { return static_cast<int>(threadIdx.x) / 32 / Grid::kPixelWarps * kItems; }

  /// Half a chunk; addresses of this lane.
  __device__ void add_half(std::uint32_t a_from, std::uint32_t b_from) {
    std::uint32_t filters[kItems][4];
#pragma unroll
    for (int s = 0; s < kItems; ++s) load_matrices(b_from + s * Stage::kItemBytes, filters[s]);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      std::uint32_t a[kBlocks][kParts][4];
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) Stage::load_fragment(a_from + 2 * k * Stage::kUnitBytes + block * 256, a[block]);
#pragma unroll
      for (int s = 0; s < kItems; ++s) {
        const std::uint32_t b[2] = {filters[s][2 * k], filters[s][2 * k + 1]};
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) F::multiply(sums_[block][s], a[block][0], b);
      }
    }
  }

  /// As three products of high and low parts. Tensor cores cut off what they add, always towards zero, so that the error of a long sum
  /// would grow with its length: short sums are added to the running ones by ordinary additions, which round to nearest.
  __device__ void add_in_parts(std::uint32_t a_from, std::uint32_t b_from) {
    std::uint32_t a[2][kBlocks][kParts][4];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) Stage::load_fragment(a_from + 2 * k * Stage::kUnitBytes + block * 256, a[k][block]);
    }
    constexpr int kTogether = 2;  // items: enough products that do not wait for each other
#pragma unroll
    for (int first = 0; first < kItems; first += kTogether) {
      std::uint32_t filters[kTogether][kParts][4];
      float fresh[kBlocks][kTogether][4] = {};
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
#pragma unroll
        for (int part = 0; part < kParts; ++part) load_matrices(b_from + (first + i) * Stage::kItemBytes + part * Stage::kPartBytes, filters[i][part]);
      }
#pragma unroll
      for (int product = 0; product < 3; ++product) {  // low high, high low, high high: the small ones first
        const int a_part = product == 0 ? kParts - 1 : 0, b_part = product == 1 ? kParts - 1 : 0;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            const std::uint32_t b[2] = {filters[i][b_part][2 * k], filters[i][b_part][2 * k + 1]};
#pragma unroll
            for (int block = 0; block < kBlocks; ++block) F::multiply(fresh[block][i], a[k][block][a_part], b);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
#pragma unroll
          for (int e = 0; e < 4; ++e) sums_[block][first + i][e] += fresh[block][i][e];
        }
      }
    }
  }

  float sums_[kBlocks][kItems][4] = {};
};

}  // namespace wins::runtime::cuda
