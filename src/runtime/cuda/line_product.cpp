#include "line_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, cudaStream_t stream);

bool encode_maps(Operand operand, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, LineMaps& maps) {
  const auto unit = static_cast<std::int32_t>(unit_channels(operand));
  if (!encode_lines(operand, layer, pointers.input, layer.row_units * unit, kLinePixels, maps.own)) return false;
  const std::int32_t pixels = layer.batch * layer.out_height * layer.out_width;
  return lines.added == nullptr || encode_lines(operand, lines.added, pixels, lines.added_units * unit, lines.added_pitch, kLinePixels, maps.added);
}

bool launch_line_product(Operand operand, int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream) {
  LineMaps maps{};
  if (!is_line_tile(filters) || !encode_maps(operand, layer, pointers, lines, maps)) return false;
  return with_line_operand(operand, [&]<Operand kOperand>() { return launch_lines<kOperand>(filters, layer, pointers, lines, maps, stream); });
}

}  // namespace wins::runtime::cuda
