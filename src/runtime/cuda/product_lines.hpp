// The pixels of a convolution as the copy engine brings them: whole lines of 128 bytes of channels.
#pragma once

#include <cuda.h>

#include "implicit_product.hpp"

namespace wins::runtime::cuda {

inline constexpr int kMaxLineStride = 8;  ///< of the copy engine

/// Lines of so many pixels each time, swizzled; `channels` of the input, whole units. `load_pixels` takes them where it has windows, else
/// `load_rectangle`. False when the driver refuses or the device has no such copies.
bool encode_lines(Operand operand, const ProductLayer& layer, const void* input, int channels, int pixels, CUtensorMap& map);

/// The last of so many windows along an axis, from the last row or column.
std::int32_t last_window(std::int32_t windows, std::int32_t stride, std::int32_t pad, std::int32_t extent);

/// The same of `count` pixels one after the other, `pitch` elements apart, for `load_rectangle` and `store_rectangle`.
bool encode_lines(Operand operand, const void* data, std::int32_t count, int channels, std::int32_t pitch, int pixels, CUtensorMap& map);

}  // namespace wins::runtime::cuda
