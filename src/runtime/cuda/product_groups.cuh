// Sums of an implicit product by Hopper's instructions of four warps (wgmma): pixels from registers, filters from shared memory.
#pragma once

#include "group_multiply.cuh"
#include "product_stage.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

namespace wins::runtime::cuda {

template <Operand kOperand, class Stage>
class GroupSums {
  static constexpr int kParts = Stage::kParts, kSteps = kChunkUnits / 2;
  static constexpr bool kSharePixels = Stage::kPixels == 64;  ///< two groups of 4 warps have the same pixels, else the same filters
  static constexpr int kGroupItems = kSharePixels ? Stage::kItems / 2 : Stage::kItems;
  static constexpr int kItems = kGroupItems > 8 ? 8 : kGroupItems, kBlocks = kGroupItems / kItems;  ///< of an instruction, instructions

 public:
  /// Makes what this thread wrote to shared memory visible to those who read it in `add`, after a barrier: wgmma reads by another
  /// path than ordinary loads.
  static __device__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

  /// One chunk; calls `meanwhile` while the tensor cores work. `never`: see `hold`.
  template <class Meanwhile>
  __device__ void add(std::uint32_t stage, bool never, const Meanwhile& meanwhile) {
    const auto load = [stage](int first_pixel, int step, std::uint32_t (&a)[kParts][4]) {
      Stage::load_fragment(Stage::fragment(stage, first_pixel) + 2 * step * Stage::kUnitBytes, a);
    };
    add_loaded(load, stage + Stage::kPixelBytes, never, meanwhile);
  }
  /// The same of pixels that `load(first pixel, step, fragment)` brings to registers, 16 pixels and two units each time.
  template <class Load, class Meanwhile>
  __device__ void add_loaded(const Load& load, std::uint32_t first_filters, bool never, const Meanwhile& meanwhile) {
    std::uint32_t a[kSteps][kParts][4];
#pragma unroll
    for (int k = 0; k < kSteps; ++k) load(first_pixel(), k, a[k]);
    const std::uint64_t filters = descriptor(first_filters + first_item() * Stage::kItemBytes);
    if constexpr (kOperand == Operand::f32) {
      add_in_parts(a, filters, meanwhile);
      hold_all(a, never);
      return;
    }
    begin_products();
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        GroupMultiply<kItems>::template run<kOperand>(sums_[block], a[k][0], filters + words(block * kItems * Stage::kItemBytes + 2 * k * Stage::kMatrixBytes), 1);
      }
    }
    finish(sums_, meanwhile);
    hold_all(a, never);
  }

  /// Calls `visit(pixel, filter, sum, sum of the next filter)`.
  template <class Visit>
  __device__ void for_each_pair(const Visit& visit) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < kGroupItems; ++s) {
      const int pixel = first_pixel() + lane / 4, filter = (first_item() + s) * kItemRows + lane % 4 * 2;
      const float(&sums)[4] = sums_[s / kItems][s % kItems];
      visit(pixel, filter, sums[0], sums[1]);
      visit(pixel + 8, filter, sums[2], sums[3]);
    }
  }

 private:
  static __device__ int first_pixel() { return static_cast<int>(threadIdx.x) / 32 % (kSharePixels ? 4 : 8) * 16; }
  static __device__ int first_item() { return kSharePixels ? static_cast<int>(threadIdx.x) / 128 * kGroupItems : 0; }

  /// Matrices without swizzle: 128 bytes from one unit to the next, an item's bytes from 8 filters to the next.
  static __device__ std::uint64_t descriptor(std::uint32_t address) {
    return words(address & 0x3ffff) | words(Stage::kMatrixBytes) << 16 | words(Stage::kItemBytes) << 32;
  }
  static __device__ constexpr std::uint64_t words(std::uint32_t bytes) { return bytes / 16; }

  static __device__ void hold_all(const std::uint32_t (&a)[kSteps][kParts][4], bool never) {
#pragma unroll
    for (int i = 0; i < kSteps * kParts; ++i) hold(a[i / kParts][i % kParts], never);
  }

  /// Nobody reads `sums` before.
  template <class Meanwhile>
  static __device__ void finish(float (&sums)[kBlocks][kItems][4], const Meanwhile& meanwhile) {
    commit_products();
    meanwhile();
    wait_for_products();
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) keep_behind(sums[block]);
  }

  /// As WarpSums does.
  template <class Meanwhile>
  __device__ void add_in_parts(const std::uint32_t (&a)[kSteps][kParts][4], std::uint64_t filters, const Meanwhile& meanwhile) {
    float fresh[kBlocks][kItems][4];
#pragma unroll
    for (int i = 0; i < kBlocks * kItems * 4; ++i) fresh[i / (kItems * 4)][i / 4 % kItems][i % 4] = 0;
    begin_products();
#pragma unroll
    for (int product = 0; product < 3; ++product) {  // low high, high low, high high: the small ones first
      const int a_part = product == 0 ? kParts - 1 : 0, b_part = product == 1 ? kParts - 1 : 0;
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
          const int bytes = block * kItems * Stage::kItemBytes + b_part * Stage::kPartBytes + 2 * k * Stage::kMatrixBytes;
          GroupMultiply<kItems>::template run<kOperand>(fresh[block], a[k][a_part], filters + words(bytes), product > 0 || k > 0);
        }
      }
    }
    finish(fresh, meanwhile);
#pragma unroll
    for (int i = 0; i < kBlocks * kItems * 4; ++i) sums_[i / (kItems * 4)][i / 4 % kItems][i % 4] += fresh[i / (kItems * 4)][i / 4 % kItems][i % 4];
  }

  float sums_[kBlocks][kItems][4] = {};
};

}  // namespace wins::runtime::cuda

#endif
