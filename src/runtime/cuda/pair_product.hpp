// Two 1x1 convolutions, one behind the other, in one kernel: what lies between them is written, since others read it too, but not read again.
//
// In 16 bits such layers take as long as their bytes: in a bottleneck of ResNet-50 the result of the last convolution of a block,
// with its residual, is most of them, and the first convolution of the next block reads nothing else.
//
// A thread block takes 128 pixels and has their input channels in shared memory all the time. In turns it makes 64 channels of the middle
// (first product, bias, residual, activation), writes them, and adds their part of the second product, whose sums stay
// in registers. The residuals and both layers' filters of the next turns are on their way meanwhile.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "wins/runtime/cuda/divisor.hpp"
#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/product_cut.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kPairPixels = 128, kPairMiddle = 64;  ///< of a block; channels of a turn
inline constexpr int kMostPairChunks = 4;                  ///< of input channels
inline constexpr int kMostPairFilters = 128;               ///< of the second layer

/// What one of the two layers writes.
struct PairOutput {
  std::int32_t filters = 1, pitch = 0;
  FusedActivation activation = FusedActivation::none;
  float slope = 1, low = -kInfinity, high = kInfinity;
};

/// Shapes; activations are NHWC as in FusedLayer. The middle has a multiple of kPairMiddle channels.
struct PairLayer {
  std::int32_t pixels = 1;             ///< of all images, of the middle and the output
  std::int32_t height = 1, width = 1;  // of the input
  std::int32_t stride_y = 1, stride_x = 1;
  Divisor by_out_image, by_out_width;
  std::int32_t input_pitch = 0, residual_pitch = 0;
  std::int32_t units = 1, chunks = 1;  ///< of 16 bytes, of kChunkUnits, of the input channels
  std::int32_t turns = 1;
  std::int32_t second_items = 1;       ///< of the second layer's FilterPack
  PairOutput first, second;
};

struct PairPointers {
  const void* input = nullptr;
  const void* residual = nullptr;  ///< of the first layer, or null
  void *middle = nullptr, *output = nullptr;
  const float *first_bias = nullptr, *second_bias = nullptr;                  ///< or null
  const std::uint32_t *first_filters = nullptr, *second_filters = nullptr;  ///< FilterPack::matrices
};

/// How much a block keeps in shared memory.
struct PairCut {
  ProductTile tile = ProductTile::tall;  ///< of the second product: tall or wide
  int stages = 2;                        ///< turns whose residuals and filters are there or on their way: 2 or 3
  int shared_bytes = 0;
  int resident = 0;                      ///< blocks that a multiprocessor holds; 0: not even one fits
};
PairCut cut_pair(std::int64_t chunks, std::int64_t second_filters, int shared_bytes);

/// Enqueues both layers, in fp16 or bf16; false when there is no kernel or the device refused it.
bool launch_pair_product(Operand operand, const PairCut& cut, const PairLayer& layer, const PairPointers& pointers, cudaStream_t stream);

}  // namespace wins::runtime::cuda
