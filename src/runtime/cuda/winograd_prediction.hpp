// How long a cut of the fused Winograd kernel takes.
#pragma once

#include "wins/runtime/cuda/fused_layer.hpp"

namespace wins::runtime::cuda {

/// A cut that fits.
struct FusedCut {
  const FusedLayer& layer;  ///< laid out
  FusedShape shape;
  const PackSize& size;
  Operand operand;
  int stride, slice_channels;
  bool residual;
  int resident;    ///< blocks that a multiprocessor holds at once
  int processors;  ///< multiprocessors
};

/// Microseconds.
double predict_fused(const FusedCut& cut);

}  // namespace wins::runtime::cuda
