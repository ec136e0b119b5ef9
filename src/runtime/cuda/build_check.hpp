// Whether this build holds machine code for the GPU at hand.
#pragma once

#include <cuda_runtime_api.h>

namespace wins::runtime::cuda {

/// cudaSuccess when it does.
cudaError_t find_device_code();

}  // namespace wins::runtime::cuda
