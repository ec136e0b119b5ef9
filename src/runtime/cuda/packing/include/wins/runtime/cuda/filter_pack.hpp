// Filters of an ordinary convolution in the order in which the implicit product multiplies them.
//
// The sum over a filter runs over its rows, and in a row over columns and channels together: units of 16 bytes that lie next to
// each other in NHWC. So few channels (the first layer's 3) fill the tensor cores as well as many.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

struct FilterPack {
  Operand operand = Operand::f16;
  int items = 0;       ///< of kItemRows filters
  int row_units = 0;   ///< kernel columns x units of a pixel's channels
  int row_chunks = 0;  ///< of kChunkUnits units, of one kernel row
  /// [item][kernel row x chunk][unit of the chunk][filter][4 words]: 8 filters of one unit are a matrix of 8 x 16 bytes as
  /// tensor core instructions load it. Float32 where the operand is f32, which the kernel splits.
  std::vector<std::uint32_t> matrices;
};

/// Packs W [K, C, kh, kw]. Throws `Error` on a weight that is not finite or does not fit float16.
FilterPack pack_filters(const Tensor& weights, Operand operand);

}  // namespace wins::runtime::cuda
