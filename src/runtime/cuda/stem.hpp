// A network's first convolution straight from its input, with the max-pool behind it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "wins/runtime/cuda/stem_layer.hpp"
#include "wins/runtime/cuda/weights_ahead.hpp"

namespace wins::runtime::cuda {

struct StemPointers {
  const float* input = nullptr;   ///< 16-byte aligned
  void* output = nullptr;
  const float* bias = nullptr;    ///< [filters], or null
  const float* scales = nullptr;  ///< of the StemPack, or null
  const std::uint32_t* fragments = nullptr;
  WeightsAhead ahead = {};
};

/// Enqueues the layer, cut for `shape`; false when the device refused it. An input that is infinite or not a number spoils
/// outputs a few rows and columns beyond those that read it too: zeros that fill up the kernel touch it.
bool launch_stem(Operand operand, StemShape shape, const StemLayer& layer, const StemPointers& pointers, cudaStream_t stream);

}  // namespace wins::runtime::cuda
