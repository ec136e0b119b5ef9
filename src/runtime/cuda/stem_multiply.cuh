// One row of the stem's convolution on tensor cores: filters stay in registers, pixels are read where the patch lies.
#pragma once

#include "tensor_core.cuh"
#include "wins/runtime/cuda/stem_layer.hpp"

// Where Hopper's instructions for warp groups exist: in code for sm_90a alone.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && !defined(WINS_STEM_PLAIN)
#define WINS_WARPGROUP 1
#endif

namespace wins::runtime::cuda {

/// A fragments of a slice of filters.
template <int kRows, int kSteps, int kParts>
struct StemWeights {
  std::uint32_t a[kParts][kRows][kSteps][4];

  __device__ void load(const std::uint32_t* fragments, int slice) {
    const uint4* from = reinterpret_cast<const uint4*>(fragments) + slice * (kParts * kRows * kSteps * kStemThreads) + threadIdx.x;
#pragma unroll
    for (int i = 0; i < kParts * kRows * kSteps; ++i) {
      const uint4 words = __ldg(from + i * kStemThreads);
      std::uint32_t(&to)[4] = a[i / (kRows * kSteps)][i / kSteps % kRows][i % kSteps];
      to[0] = words.x;
      to[1] = words.y;
      to[2] = words.z;
      to[3] = words.w;
    }
  }
};

#ifdef WINS_WARPGROUP

#define WINS_SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WINS_SUMS16(i) WINS_SUMS4(i), WINS_SUMS4(i + 4), WINS_SUMS4(i + 8), WINS_SUMS4(i + 12)
#define WINS_NAMES32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WINS_NAMES56 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55"

/// d = a b, or d += a b, on its way; `b` describes a matrix of shared memory.
template <Operand kFactor>
__device__ inline void multiply_async(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b, int add) {
#define WINS_MULTIPLY(type)                                                                                               \
  asm volatile("{.reg .pred p; setp.ne.b32 p, %37, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {"     \
               WINS_NAMES32 "}, {%32, %33, %34, %35}, %36, p, 1, 1, 0;}"                                                  \
               : WINS_SUMS16(0), WINS_SUMS16(16)                                                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
  if constexpr (kFactor == Operand::f16) {
    WINS_MULTIPLY("f16");
  } else {
    WINS_MULTIPLY("bf16");
  }
#undef WINS_MULTIPLY
}
template <Operand kFactor>
__device__ inline void multiply_async(float (&d)[56], const std::uint32_t (&a)[4], std::uint64_t b, int add) {
#define WINS_MULTIPLY(type)                                                                                               \
  asm volatile("{.reg .pred p; setp.ne.b32 p, %61, 0; wgmma.mma_async.sync.aligned.m64n112k16.f32." type "." type " {"    \
               WINS_NAMES56 "}, {%56, %57, %58, %59}, %60, p, 1, 1, 0;}"                                                  \
               : WINS_SUMS16(0), WINS_SUMS16(16), WINS_SUMS16(32), WINS_SUMS4(48), WINS_SUMS4(52)                         \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
  if constexpr (kFactor == Operand::f16) {
    WINS_MULTIPLY("f16");
  } else {
    WINS_MULTIPLY("bf16");
  }
#undef WINS_MULTIPLY
}

/// The compiler must move no use of `d` over this.
template <int kSize>
__device__ inline void pin(float (&d)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

/// Not swizzled: eight rows of 16 bytes, the next eight 128 bytes on, and the next 16 bytes of k 16 bytes on, where the
/// second row begins: windows overlap.
__device__ inline std::uint64_t matrix_at(std::uint32_t address) { return (std::uint64_t{8} << 32) | (std::uint64_t{1} << 16) | (address >> 4); }

/// What ordinary stores wrote becomes visible to the tensor cores of all threads.
__device__ inline void publish_patch() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
}

/// Starts the sums of one row: `row` is the first window, `pitch` and `part_bytes` lead to the next row and to the low parts.
template <Operand kFactor, int kRows, int kSteps, int kParts, int kSize>
__device__ void start_row(float (&sums)[kSize], const StemWeights<kRows, kSteps, kParts>& weights, std::uint32_t row, int pitch, int part_bytes) {
  pin(sums);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  // Products of low parts come first: they are small.
#pragma unroll
  for (int product = 2 * kParts - 2; product >= 0; --product) {
    const int of_weights = product == 2 ? 1 : 0, of_pixels = product == 1 ? 1 : 0;
#pragma unroll
    for (int y = 0; y < kRows; ++y) {
      const std::uint64_t at = matrix_at(row + of_pixels * part_bytes + y * pitch);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const bool first = product == 2 * kParts - 2 && y == 0 && step == 0;
        multiply_async<kFactor>(sums, weights.a[of_weights][y][step], at + 2 * step, first ? 0 : 1);
      }
    }
  }
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int kSize>
__device__ void wait_for_row(float (&sums)[kSize]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  pin(sums);
}

#undef WINS_SUMS4
#undef WINS_SUMS16
#undef WINS_NAMES32
#undef WINS_NAMES56

#else

__device__ inline void publish_patch() { __syncthreads(); }

/// The same by the instructions of single warps, each of which reads all pixels.
template <Operand kFactor, int kRows, int kSteps, int kParts, int kSize>
__device__ void start_row(float (&sums)[kSize], const StemWeights<kRows, kSteps, kParts>& weights, std::uint32_t row, int pitch, int part_bytes) {
  float d[kSize / 4][4] = {};
  // Lanes of eight: units 0 and 1 of eight columns, then of the next eight.
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::uint32_t mine = row + (lane / 16 * 8 + lane % 8 + lane / 8 % 2) * 16;
#pragma unroll
  for (int product = 2 * kParts - 2; product >= 0; --product) {
    const int of_weights = product == 2 ? 1 : 0, of_pixels = product == 1 ? 1 : 0;
#pragma unroll
    for (int y = 0; y < kRows; ++y) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int group = 0; group < kSize / 4; group += 2) {
          std::uint32_t b[4];
          load_matrices(mine + of_pixels * part_bytes + y * pitch + step * 32 + group * 128, b);
          const std::uint32_t pairs[2][2] = {{b[0], b[1]}, {b[2], b[3]}};
#pragma unroll
          for (int i = 0; i < 2; ++i) Format<kFactor>::multiply(d[group + i], weights.a[of_weights][y][step], pairs[i]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kSize; ++i) sums[i] = d[i / 4][i % 4];
}

template <int kSize>
__device__ void wait_for_row(float (&)[kSize]) {}

#endif

}  // namespace wins::runtime::cuda
