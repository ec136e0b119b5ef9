// The inner loops of 1x1 convolutions, per instruction set: a GEMM on blocked activations, whose
// lanes are output channels, and the packing of its right-hand side.
//
// Layouts (N lanes, B channels a block; float32):
//   x, y  nChw{B}c: [batch][ceil(C/B)][pixels][B], channels padded with zeros
//   W     one group after the other, [column][vectors][N]; a group is 1 or 2 vectors of output
//         channels that read the same input channels (its columns)
#pragma once

#include <cstdint>

#include "output_activation.hpp"

namespace wins::runtime::cpu {

/// A tile of consecutive pixels times one group. Weights are `halves` (bfloat16) where that is not null.
struct PointwiseTile {
  const float* x;               ///< the first pixel, channel block 0
  const std::uint32_t* offsets; ///< [columns]: floats from x to that input channel
  const float* weights;
  const std::uint16_t* halves;
  std::int64_t columns;
  int vectors, pixels;
  float* y[2];                  ///< the first pixel, for each vector
  const float* residual[2];     ///< like y, or null
  const float* bias;            ///< [vectors * N]
  bool first, last;             ///< starts from bias and residual, or from y; ends with the activation
  OutputActivation activation;
  int channels;                 ///< of the last vector that exist; the others stay zero
};

/// Pixels [first, first + count) of one image, copied so that they lie next to each other.
struct PackTask {
  const float* x;  ///< the image
  std::int64_t blocks, in_pixels, in_width, out_width, stride;
  std::int64_t first, count;
  const float* scale;  ///< [blocks * B], with `shift`: x becomes max(scale x + shift, low); or null
  const float* shift;
  float low;
  float* to;  ///< [blocks][pitch][B]
  std::int64_t pitch;  ///< pixels
};

struct PointwiseKernels {
  const char* target;
  int lanes;
  int max_pixels[2];  ///< of a tile, for groups of 1 and 2 vectors
  void (*multiply)(const PointwiseTile&);
  void (*pack)(const PackTask&);
};

/// For the best instruction set of this machine (or the one Highway is told to use).
const PointwiseKernels& pointwise_kernels();

}  // namespace wins::runtime::cpu
