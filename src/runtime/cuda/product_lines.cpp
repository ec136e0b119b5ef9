#include "product_lines.hpp"

#include "tensor_map.hpp"

namespace wins::runtime::cuda {

bool encode_lines(Operand operand, const ProductLayer& layer, const void* input, int channels, int pixels, CUtensorMap& map) {
  const auto line_channels = static_cast<std::int32_t>(kChunkUnits * unit_channels(operand));
  if (is_strided(layer)) {
    PixelMapping mapping{operand, input, {layer.batch, layer.height, layer.width, channels}, layer.input_pitch};
    mapping.stride_y = layer.stride_y;
    mapping.stride_x = layer.stride_x;
    mapping.pixels = pixels;
    mapping.channels = line_channels;
    mapping.swizzle = Swizzle::bytes128;
    return encode(mapping, map);
  }
  const std::int32_t all = layer.batch * layer.height * layer.width;
  return encode(TensorMapping{operand, input, {1, 1, all, channels}, layer.input_pitch, {1, 1, pixels, line_channels}, Swizzle::bytes128}, map);
}

}  // namespace wins::runtime::cuda
