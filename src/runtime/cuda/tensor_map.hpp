// Descriptions of NHWC tensors for the copy engine of compute capability 9.0.
#pragma once

#include <cuda.h>

#include <array>
#include <cstdint>

#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

/// Where 16-byte units of a line in shared memory lie: their index is combined (xor) with bits of the line's address.
enum class Swizzle : std::uint8_t { none, bytes32, bytes64, bytes128 };

/// An NHWC tensor in device memory and the rectangle that one copy moves.
struct TensorMapping {
  Operand operand = Operand::f16;
  const void* data = nullptr;           ///< 16-byte aligned
  std::array<std::int32_t, 4> shape{};  ///< N, H, W, channels
  std::int32_t pitch = 0;               ///< elements from pixel to pixel; a multiple of 16 bytes
  std::array<std::int32_t, 4> box{};    ///< images, rows, columns, channels; none above 256
  Swizzle swizzle = Swizzle::none;
};

/// False when the driver refuses or has no such copies.
bool encode(const TensorMapping& mapping, CUtensorMap& map);

/// The pixels below one tap of a kernel, or a 1x1 kernel with strides, one after the other through rows and images.
struct PixelMapping {
  Operand operand = Operand::f16;
  const void* data = nullptr;           ///< 16-byte aligned
  std::array<std::int32_t, 4> shape{};  ///< N, H, W, channels
  std::int32_t pitch = 0;               ///< as in TensorMapping
  std::int32_t stride_y = 1, stride_x = 1;  ///< at most 8
  std::int32_t first_y = 0, first_x = 0;    ///< of the first window, from the image's first row and column; -128 to 127
  std::int32_t last_y = 0, last_x = 0;      ///< where windows end, from the image's last row and column; -128 to 127
  std::int32_t pixels = 1, channels = 1;    ///< of one copy; at most 256
  Swizzle swizzle = Swizzle::none;
};
bool encode(const PixelMapping& mapping, CUtensorMap& map);

}  // namespace wins::runtime::cuda
