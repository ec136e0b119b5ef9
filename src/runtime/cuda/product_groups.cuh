// Sums of an implicit product by Hopper's instructions of four warps (wgmma): pixels from registers, filters from shared memory.
#pragma once

#include "product_stage.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

namespace wins::runtime::cuda {

/// Sums of 64 pixels and kItems x 8 filters: sums[item][4] lie in a warp as those of single warps' instructions do.
template <int kItems>
struct GroupMultiply;

#define WINS_WGMMA_32(shape, types, end)                                                                             \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %21, 0; wgmma.mma_async.sync.aligned." shape ".f32." types " {" \
               "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"  \
               "}, {%16,%17,%18,%19}, %20, p, 1, 1" end "; }" \
               : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), \
                 "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]) \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep) \
               : "memory")

template <>
struct GroupMultiply<4> {
  template <Operand kOperand>
  static __device__ void run(float (&d)[4][4], const std::uint32_t (&a)[4], std::uint64_t b, int keep) {
    if constexpr (kOperand == Operand::f16) WINS_WGMMA_32("m64n32k16", "f16.f16", ", 0");
    else if constexpr (kOperand == Operand::bf16) WINS_WGMMA_32("m64n32k16", "bf16.bf16", ", 0");
    else WINS_WGMMA_32("m64n32k8", "tf32.tf32", "");
  }
};
#undef WINS_WGMMA_32

#define WINS_WGMMA_64(shape, types, end)                                                                             \
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned." shape ".f32." types " {" \
               "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"  \
               "}, {%32,%33,%34,%35}, %36, p, 1, 1" end "; }" \
               : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), \
                 "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), \
                 "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), \
                 "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]) \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep) \
               : "memory")

template <>
struct GroupMultiply<8> {
  template <Operand kOperand>
  static __device__ void run(float (&d)[8][4], const std::uint32_t (&a)[4], std::uint64_t b, int keep) {
    if constexpr (kOperand == Operand::f16) WINS_WGMMA_64("m64n64k16", "f16.f16", ", 0");
    else if constexpr (kOperand == Operand::bf16) WINS_WGMMA_64("m64n64k16", "bf16.bf16", ", 0");
    else WINS_WGMMA_64("m64n64k8", "tf32.tf32", "");
  }
};
#undef WINS_WGMMA_64

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

  /// One chunk; calls `meanwhile` while the tensor cores work.
  template <class Meanwhile>
  __device__ void add(std::uint32_t stage, const Meanwhile& meanwhile) {
    std::uint32_t a[kSteps][kParts][4];
    const std::uint32_t from = Stage::fragment(stage, first_pixel());
#pragma unroll
    for (int k = 0; k < kSteps; ++k) Stage::load_fragment(from + 2 * k * Stage::kUnitBytes, a[k]);
    const std::uint64_t filters = descriptor(stage + Stage::kPixelBytes + first_item() * Stage::kItemBytes);
    if constexpr (kOperand == Operand::f32) {
      add_in_parts(a, filters, meanwhile);
      return;
    }
    begin();
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
#pragma unroll
      for (int block = 0; block < kBlocks; ++block) {
        GroupMultiply<kItems>::template run<kOperand>(sums_[block], a[k][0], filters + words(block * kItems * Stage::kItemBytes + 2 * k * Stage::kMatrixBytes), 1);
      }
    }
    finish(sums_, meanwhile);
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

  static __device__ void begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
  /// Waits for all products; nobody reads `sums` before.
  template <class Meanwhile>
  static __device__ void finish(float (&sums)[kBlocks][kItems][4], const Meanwhile& meanwhile) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    meanwhile();
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < kBlocks * kItems * 4; ++i) asm volatile("" : "+f"(sums[i / (kItems * 4)][i / 4 % kItems][i % 4])::"memory");
  }

  /// As WarpSums does.
  template <class Meanwhile>
  __device__ void add_in_parts(const std::uint32_t (&a)[kSteps][kParts][4], std::uint64_t filters, const Meanwhile& meanwhile) {
    float fresh[kBlocks][kItems][4];
#pragma unroll
    for (int i = 0; i < kBlocks * kItems * 4; ++i) fresh[i / (kItems * 4)][i / 4 % kItems][i % 4] = 0;
    begin();
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
