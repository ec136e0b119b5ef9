// How kernels are launched, also early: while the one before them still runs (programmatic dependent launch, compute capability 9.0).
//
// A kernel launched by `launch_early` may begin before its predecessor in the stream ended; whatever it reads or writes of the
// predecessor's stands behind `wait_for_predecessor`, which every thread that does so calls. It may call
// `let_successor_start` at any time: the successor waits for its end by itself.
#pragma once

#include <cuda_runtime.h>

namespace wins::runtime::cuda {

__device__ inline void wait_for_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ inline void let_successor_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Launches early, an ordinary launch on older devices. Also raises the kernel's limit of shared memory, which is per device, each time.
/// `cluster`: of so many blocks, neighbours along z. False when the device refused it; the error is then cudaPeekAtLastError's.
template <class... Parameters, class... Arguments>
bool launch_clusters_early(int cluster, void (*kernel)(Parameters...), dim3 grid, int threads, int shared_bytes, cudaStream_t stream, const Arguments&... arguments) {
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes) != cudaSuccess) return false;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {1, 1, static_cast<unsigned>(cluster)};
  config.attrs = attributes;
  config.numAttrs = cluster > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, kernel, arguments...) == cudaSuccess;
}
template <class... Parameters, class... Arguments>
bool launch_early(void (*kernel)(Parameters...), dim3 grid, int threads, int shared_bytes, cudaStream_t stream, const Arguments&... arguments) {
  return launch_clusters_early(1, kernel, grid, threads, shared_bytes, stream, arguments...);
}

}  // namespace wins::runtime::cuda
