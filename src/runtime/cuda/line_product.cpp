#include "line_product.hpp"

#include "tensor_map.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const CUtensorMap& map, cudaStream_t stream);

namespace {

/// The input as the copy engine takes it: its channels up to a whole unit.
bool map_input(Operand operand, const ProductLayer& layer, const void* input, CUtensorMap& map) {
  const auto channels = static_cast<std::int32_t>(layer.row_units * unit_channels(operand));
  const auto line_channels = static_cast<std::int32_t>(kChunkUnits * unit_channels(operand));
  if (layer.stride_y != 1 || layer.stride_x != 1) {
    PixelMapping mapping{operand, input, {layer.batch, layer.height, layer.width, channels}, layer.input_pitch};
    mapping.stride_y = layer.stride_y;
    mapping.stride_x = layer.stride_x;
    mapping.pixels = kLinePixels;
    mapping.channels = line_channels;
    mapping.swizzle = Swizzle::bytes128;
    return encode(mapping, map);
  }
  const std::int32_t all = layer.batch * layer.height * layer.width;
  return encode(TensorMapping{operand, input, {1, 1, all, channels}, layer.input_pitch, {1, 1, kLinePixels, line_channels}, Swizzle::bytes128}, map);
}

}  // namespace

bool launch_line_product(Operand operand, int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream) {
  CUtensorMap map{};
  if (!is_line_tile(filters) || !map_input(operand, layer, pointers.input, map)) return false;
  switch (operand) {
    case Operand::f16: return launch_lines<Operand::f16>(filters, layer, pointers, lines, map, stream);
    case Operand::bf16: return launch_lines<Operand::bf16>(filters, layer, pointers, lines, map, stream);
    case Operand::tf32: return launch_lines<Operand::tf32>(filters, layer, pointers, lines, map, stream);
    case Operand::f32: return false;
  }
  return false;
}

}  // namespace wins::runtime::cuda
