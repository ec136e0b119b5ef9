// Asking for weights of later steps, see weights_ahead.hpp.
#pragma once

#include "wins/runtime/cuda/weights_ahead.hpp"

namespace wins::runtime::cuda {

/// Called by all threads of all blocks, each of which asks for its share; does not wait. Devices before compute capability 9.0 do nothing.
__device__ inline void ask_ahead(const WeightsAhead& ahead) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (threadIdx.x >= WeightsAhead::kMost) return;
  const MemoryRun run = ahead.runs[threadIdx.x];
  const unsigned blocks = gridDim.x * gridDim.y * gridDim.z, block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned share = (run.bytes / blocks / 128 + 1) * 128;
  if (static_cast<unsigned long long>(block) * share >= run.bytes) return;
  const unsigned begin = block * share, bytes = min(share, run.bytes - begin);
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(static_cast<const char*>(run.from) + begin), "r"(bytes));
#endif
}

}  // namespace wins::runtime::cuda
