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
constexpr std::int64_t last_window(std::int64_t windows, std::int64_t stride, std::int64_t pad, std::int64_t extent) { return (windows - 1) * stride - pad - (extent - 1); }

/// The same of `count` pixels one after the other, `pitch` elements apart, for `load_rectangle` and `store_rectangle`.
bool encode_lines(Operand operand, const void* data, std::int32_t count, int channels, std::int32_t pitch, int pixels, CUtensorMap& map);

}  // namespace wins::runtime::cuda
