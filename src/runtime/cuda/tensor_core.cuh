// Tensor core instructions and number formats, by operand.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// Four 8 x 16 byte matrices of shared memory, one from the addresses of each 8 lanes.
__device__ inline void load_matrices(std::uint32_t address, std::uint32_t (&r)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ inline uint4 load_shared(std::uint32_t address) {
  uint4 words;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(address));
  return words;
}

__device__ inline void store_shared(std::uint32_t address, const uint4& words) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
               : "memory");
}

__device__ inline float load_shared_float(std::uint32_t address) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(address));
  return x;
}
__device__ inline void store_shared_pair(std::uint32_t address, const uint2& words) {
  asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(address), "r"(words.x), "r"(words.y) : "memory");
}
__device__ inline std::uint32_t load_shared_word(std::uint32_t address) {
  std::uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address));
  return word;
}
__device__ inline void store_shared_word(std::uint32_t address, std::uint32_t word) { asm volatile("st.shared.u32 [%0], %1;" ::"r"(address), "r"(word) : "memory"); }

/// Copies 16 bytes to shared memory behind the thread's back, `bytes` of them from global memory, the rest zeros.
__device__ inline void copy_async(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
/// The same through the first-level cache, for what neighbours copy too.
__device__ inline void copy_async_cached(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until all but the last `kPending` groups of copies have arrived.
template <int kPending>
__device__ inline void wait_for_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// How an operand lies in memory and is multiplied. Words of activations are added as they lie
/// in memory, two channels or one.
template <Operand kOperand>
struct Format;

template <>
struct Format<Operand::f16> {
  using Storage = __half;
  static constexpr int kChannels = 8;  ///< of 16 bytes
  static __device__ std::uint32_t add(std::uint32_t x, std::uint32_t y) {
    const __half2 z = __hadd2(reinterpret_cast<const __half2&>(x), reinterpret_cast<const __half2&>(y));
    return reinterpret_cast<const std::uint32_t&>(z);
  }
  static __device__ std::uint32_t sub(std::uint32_t x, std::uint32_t y) {
    const __half2 z = __hsub2(reinterpret_cast<const __half2&>(x), reinterpret_cast<const __half2&>(y));
    return reinterpret_cast<const std::uint32_t&>(z);
  }
  /// y += the 8 channels in `words`.
  static __device__ void add_group(const uint4 (&words)[1], float (&y)[8]) {
    const auto* pairs = reinterpret_cast<const __half2*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __half22float2(pairs[i]);
      y[2 * i] += pair.x;
      y[2 * i + 1] += pair.y;
    }
  }
  static __device__ void pack_group(const float (&y)[8], uint4 (&words)[1]) {
    auto* pairs = reinterpret_cast<__half2*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = __float22half2_rn(float2{y[2 * i], y[2 * i + 1]});
  }
  /// NaN stays NaN.
  static __device__ void pack_relu_group(const float (&y)[8], uint4 (&words)[1]) {
    auto* pairs = reinterpret_cast<std::uint32_t*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(pairs[i]) : "f"(y[2 * i + 1]), "f"(y[2 * i]));
  }
  static __device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

template <>
struct Format<Operand::bf16> {
  using Storage = __nv_bfloat16;
  static constexpr int kChannels = 8;
  static __device__ std::uint32_t add(std::uint32_t x, std::uint32_t y) {
    const __nv_bfloat162 z = __hadd2(reinterpret_cast<const __nv_bfloat162&>(x), reinterpret_cast<const __nv_bfloat162&>(y));
    return reinterpret_cast<const std::uint32_t&>(z);
  }
  static __device__ std::uint32_t sub(std::uint32_t x, std::uint32_t y) {
    const __nv_bfloat162 z = __hsub2(reinterpret_cast<const __nv_bfloat162&>(x), reinterpret_cast<const __nv_bfloat162&>(y));
    return reinterpret_cast<const std::uint32_t&>(z);
  }
  /// y += the 8 channels in `words`.
  static __device__ void add_group(const uint4 (&words)[1], float (&y)[8]) {
    const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(pairs[i]);
      y[2 * i] += pair.x;
      y[2 * i + 1] += pair.y;
    }
  }
  static __device__ void pack_group(const float (&y)[8], uint4 (&words)[1]) {
    auto* pairs = reinterpret_cast<__nv_bfloat162*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = __float22bfloat162_rn(float2{y[2 * i], y[2 * i + 1]});
  }
  /// NaN stays NaN.
  static __device__ void pack_relu_group(const float (&y)[8], uint4 (&words)[1]) {
    auto* pairs = reinterpret_cast<std::uint32_t*>(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(pairs[i]) : "f"(y[2 * i + 1]), "f"(y[2 * i]));
  }
  static __device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

/// float32 activations, for tf32 and f32.
struct FloatFormat {
  using Storage = float;
  static constexpr int kChannels = 4;
  static __device__ std::uint32_t add(std::uint32_t x, std::uint32_t y) {
    return __float_as_uint(__uint_as_float(x) + __uint_as_float(y));
  }
  static __device__ std::uint32_t sub(std::uint32_t x, std::uint32_t y) {
    return __float_as_uint(__uint_as_float(x) - __uint_as_float(y));
  }
  static __device__ void add_group(const uint4 (&words)[2], float (&y)[8]) {
    const auto* values = reinterpret_cast<const float*>(words);
#pragma unroll
    for (int i = 0; i < 8; ++i) y[i] += values[i];
  }
  static __device__ void pack_group(const float (&y)[8], uint4 (&words)[2]) {
    auto* values = reinterpret_cast<float*>(words);
#pragma unroll
    for (int i = 0; i < 8; ++i) values[i] = y[i];
  }
  /// NaN stays NaN.
  static __device__ void pack_relu_group(const float (&y)[8], uint4 (&words)[2]) {
    auto* values = reinterpret_cast<float*>(words);
#pragma unroll
    for (int i = 0; i < 8; ++i) asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(values[i]) : "f"(y[i]));
  }
  static __device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
  /// The nearest TF32 number.
  static __device__ std::uint32_t round(std::uint32_t word) {
    std::uint32_t result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(__uint_as_float(word)));
    return result;
  }
  /// A TF32 number near x, x itself where it is one; NaN and infinities stay. The instruction that rounds takes three steps on units half
  /// as wide; this is a product and a cut, whose factor moves x by a third to three quarters of its last place, on average by half.
  static __device__ std::uint32_t near_tf32(std::uint32_t x) { return __float_as_uint(__uint_as_float(x) * (1 + 0.72F / 2048)) & 0xffffe000U; }

  /// A float32 number as the sum of two TF32 numbers: one is left in `high`, the other given back with more bits, which the
  /// tensor cores ignore: 2^-21 of the number.
  static __device__ std::uint32_t split(std::uint32_t& high) {
    const std::uint32_t x = high;
    high = near_tf32(x);
    return __float_as_uint(__uint_as_float(x) - __uint_as_float(high));
  }
};

template <>
struct Format<Operand::tf32> : FloatFormat {};
template <>
struct Format<Operand::f32> : FloatFormat {};

}  // namespace wins::runtime::cuda
