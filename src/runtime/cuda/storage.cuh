// Activations in memory: their types, whole units of them, and launches over many.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "activation.cuh"
#include "device.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kThreads = 256;  ///< of a block, wherever nothing else is better

/// Elements in 16 bytes.
template <class T>
inline constexpr int kUnit = 16 / static_cast<int>(sizeof(T));

/// Calls `body` with std::type_identity of the storage type.
template <class Body>
auto with_storage(Operand operand, const Body& body) {
  switch (operand) {
    case Operand::f16: return body(std::type_identity<__half>());
    case Operand::bf16: return body(std::type_identity<__nv_bfloat16>());
    default: return body(std::type_identity<float>());
  }
}

/// Blocks for a kernel whose threads stride over `items`.
inline unsigned blocks_for(std::uint32_t items) {
  return std::min((items + kThreads - 1) / kThreads, 16U * static_cast<unsigned>(device().processors));
}

inline DeviceActivation device_activation(const graph::Activation& f) { return {f.kind, f.alpha, f.beta}; }

template <class T>
__device__ float to_float(T x) {
  return static_cast<float>(x);
}
template <class T>
__device__ T from_float(float x) {
  return static_cast<T>(x);
}

/// Index of the thread among all, and how far it strides.
__device__ inline std::uint32_t first_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline std::uint32_t index_stride() { return gridDim.x * blockDim.x; }

/// Of what is read once: it leaves the first-level cache to other things.
__device__ inline uint4 load_once(const uint4* from) {
  uint4 words;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w) : "l"(from));
  return words;
}

/// 16 aligned bytes.
template <class T>
__device__ void load_unit(const T* from, float (&values)[kUnit<T>]) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  const T* parts = reinterpret_cast<const T*>(&bits);
#pragma unroll
  for (int i = 0; i < kUnit<T>; ++i) values[i] = to_float(parts[i]);
}
template <class T>
__device__ void store_unit(T* to, const float (&values)[kUnit<T>]) {
  uint4 bits;
  T* parts = reinterpret_cast<T*>(&bits);
#pragma unroll
  for (int i = 0; i < kUnit<T>; ++i) parts[i] = from_float<T>(values[i]);
  *reinterpret_cast<uint4*>(to) = bits;
}

/// The first `count` elements of a unit; zeros for the others.
template <class T>
__device__ void load_part(const T* from, int count, float (&values)[kUnit<T>]) {
  if (count == kUnit<T>) return load_unit(from, values);
#pragma unroll
  for (int i = 0; i < kUnit<T>; ++i) values[i] = i < count ? to_float(from[i]) : 0.0F;
}
template <class T>
__device__ void store_part(T* to, int count, const float (&values)[kUnit<T>]) {
  if (count == kUnit<T>) return store_unit(to, values);
#pragma unroll
  for (int i = 0; i < kUnit<T>; ++i) {
    if (i < count) to[i] = from_float<T>(values[i]);
  }
}

}  // namespace wins::runtime::cuda
