#include "product_lines.hpp"

#include "tensor_map.hpp"

namespace wins::runtime::cuda {

namespace {

std::int32_t line_channels(Operand operand) { return static_cast<std::int32_t>(kChunkUnits * unit_channels(operand)); }

}  // namespace

bool encode_lines(Operand operand, const ProductLayer& layer, const void* input, int channels, int pixels, CUtensorMap& map) {
  if (!has_windows(layer)) return encode_lines(operand, input, layer.batch * layer.height * layer.width, channels, layer.input_pitch, pixels, map);
  PixelMapping mapping{operand, input, {layer.batch, layer.height, layer.width, channels}, layer.input_pitch};
  mapping.stride_y = layer.stride_y;
  mapping.stride_x = layer.stride_x;
  mapping.first_y = -layer.pad_top;
  mapping.first_x = -layer.pad_left;
  mapping.last_y = static_cast<std::int32_t>(last_window(layer.out_height, layer.stride_y, layer.pad_top, layer.height));
  mapping.last_x = static_cast<std::int32_t>(last_window(layer.out_width, layer.stride_x, layer.pad_left, layer.width));
  mapping.pixels = pixels;
  mapping.channels = line_channels(operand);
  mapping.swizzle = Swizzle::bytes128;
  return encode(mapping, map);
}

bool encode_lines(Operand operand, const void* data, std::int32_t count, int channels, std::int32_t pitch, int pixels, CUtensorMap& map) {
  return encode(TensorMapping{operand, data, {1, 1, count, channels}, pitch, {1, 1, pixels, line_channels(operand)}, Swizzle::bytes128}, map);
}

}  // namespace wins::runtime::cuda
