// Bulk copies of tensor rectangles between device and shared memory (compute capability 9.0), and the barriers in shared
// memory that they complete on.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace wins::runtime::cuda {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/// A barrier for so many arrivals, and for the bytes that are expected.
__device__ inline void init_barrier(std::uint32_t barrier, int arrivals = 1) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// Makes initialised barriers known to the copy engine.
__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ inline void expect_bytes(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/// The scope is the block: a cluster's would take a fence of the whole GPU each time.
__device__ inline void arrive_barrier(std::uint32_t barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }

/// Waits for the end of the phase of this parity.
__device__ inline void wait_barrier(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// Copies a run of bytes, a multiple of 16.
__device__ inline void load_run(std::uint32_t to, const void* from, std::uint32_t bytes, std::uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes),
               "r"(barrier)
               : "memory");
}

/// The caller's block; 0 without clusters.
__device__ inline int block_in_cluster() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/// A barrier of all threads of the cluster, behind which they see each other's shared memory.
__device__ inline void meet_cluster() { asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory"); }
/// 16 bytes of what another block of the cluster has at this address.
__device__ inline uint4 load_shared_of(int block, std::uint32_t address) {
  uint4 words;
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [there];\n"
      "}"
      : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
      : "r"(address), "r"(block)
      : "memory");
  return words;
}

/// Lets the copy engine fetch a mapping, an argument of the kernel, ahead.
__device__ inline void prefetch_map(const CUtensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }

/// Coordinates in elements, the innermost first; what lies outside of the tensor is zero.
__device__ inline void load_rectangle(std::uint32_t to, const CUtensorMap& map, int x, int y, int z, int w, std::uint32_t barrier) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
               "l"(&map), "r"(x), "r"(y), "r"(z), "r"(w), "r"(barrier)
               : "memory");
}

/// Pixels of a PixelMapping: those `tap_x` and `tap_y` behind windows that begin at x, y of image z and after.
__device__ inline void load_pixels(std::uint32_t to, const CUtensorMap& map, int channel, int x, int y, int z, std::uint32_t barrier, int tap_x = 0, int tap_y = 0) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6], {%7, %8};" ::"r"(to),
               "l"(&map), "r"(channel), "r"(x), "r"(y), "r"(z), "r"(barrier), "h"(static_cast<std::uint16_t>(tap_x)), "h"(static_cast<std::uint16_t>(tap_y))
               : "memory");
}

/// What lies outside of the tensor is not written.
__device__ inline void store_rectangle(const CUtensorMap& map, int x, int y, int z, int w, std::uint32_t from) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(&map), "r"(x), "r"(y), "r"(z),
               "r"(w), "r"(from)
               : "memory");
}

/// Orders ordinary accesses to shared memory before later ones of the copy engine, behind a barrier of the block.
__device__ inline void fence_copy_engine() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ inline void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Until all committed stores of this thread have read their shared memory.
__device__ inline void wait_for_stores() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

#else

// Without clusters a block is the only one.
__device__ inline int block_in_cluster() { return 0; }
__device__ inline void meet_cluster() {}
__device__ inline uint4 load_shared_of(int, std::uint32_t) { return {}; }

#endif

}  // namespace wins::runtime::cuda
