// The pixels of a 1x1 convolution as the copy engine brings them: whole lines of 128 bytes of channels.
#pragma once

#include <cuda.h>

#include "implicit_product.hpp"

namespace wins::runtime::cuda {

inline constexpr int kMaxLineStride = 8;  ///< of the copy engine

/// Lines of so many pixels each time, swizzled; `channels` of the input, whole units. `load_pixels` takes them where the layer has strides, else
/// `load_rectangle`. False when the driver refuses or the device has no such copies.
bool encode_lines(Operand operand, const ProductLayer& layer, const void* input, int channels, int pixels, CUtensorMap& map);

/// The same of `count` pixels one after the other, `pitch` elements apart, for `load_rectangle` and `store_rectangle`.
bool encode_lines(Operand operand, const void* data, std::int32_t count, int channels, std::int32_t pitch, int pixels, CUtensorMap& map);

}  // namespace wins::runtime::cuda
