// Hopper's products of four warps (wgmma): pixels from registers, filters from shared memory.
#pragma once

#include "tensor_core.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

namespace wins::runtime::cuda {

/// Before the first product whose operands or sums this thread wrote.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ inline void wait_for_products() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
/// What reads `sums` stays behind this.
template <int kItems>
__device__ inline void keep_behind(float (&sums)[kItems][4]) {
#pragma unroll
  for (int i = 0; i < kItems * 4; ++i) asm volatile("" : "+f"(sums[i / 4][i % 4])::"memory");
}

/// Behind the wait, for the pixels that products take from registers: the tensor cores read them while other instructions run already, which
/// ptxas knows nothing of; without a use here it puts what those load into the same registers, and some sums are wrong.
/// `never` is false, which it does not know either.
inline __device__ void hold(const std::uint32_t (&a)[4], bool never) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %0, 0; @p st.shared.v4.u32 [%1], {%2, %3, %4, %5}; }" ::"r"(static_cast<int>(never)), "r"(0), "r"(a[0]), "r"(a[1]),
               "r"(a[2]), "r"(a[3])
               : "memory");
}

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

}  // namespace wins::runtime::cuda

#endif
