#include "line_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, cudaStream_t stream);
template <Operand kOperand>
bool launch_streams(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, int processors, cudaStream_t stream);

namespace {

/// False when the driver refuses.
bool encode_maps(Operand operand, LineShape shape, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, LineMaps& maps) {
  const auto unit = static_cast<std::int32_t>(unit_channels(operand));
  if (!encode_lines(operand, layer, pointers.input, layer.row_units * unit, kLinePixels, maps.own)) return false;
  const std::int32_t count = layer.batch * layer.out_height * layer.out_width, filters = (layer.filters + unit - 1) / unit * unit;
  if (lines.added != nullptr && !encode_lines(operand, lines.added, count, lines.added_units * unit, lines.added_pitch, kLinePixels, maps.added)) return false;
  if (!shape.stays) return true;
  if (pointers.residual != nullptr && !encode_lines(operand, pointers.residual, count, filters, layer.residual_pitch, kLinePixels, maps.residual)) return false;
  return encode_lines(operand, pointers.output, count, filters, layer.output_pitch, kLinePixels, maps.output);
}

}  // namespace

bool launch_line_product(Operand operand, LineShape shape, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, int processors,
                         cudaStream_t stream) {
  LineMaps maps{};
  if (!is_line_tile(shape.filters) || !encode_maps(operand, shape, layer, pointers, lines, maps)) return false;
  const auto launch = [&]<Operand kOperand>() {
    return shape.stays ? launch_streams<kOperand>(shape.filters, layer, pointers, lines, maps, processors, stream)
                       : launch_lines<kOperand>(shape.filters, layer, pointers, lines, maps, stream);
  };
  switch (operand) {
    case Operand::f16: return launch.operator()<Operand::f16>();
    case Operand::bf16: return launch.operator()<Operand::bf16>();
    case Operand::tf32: return launch.operator()<Operand::tf32>();
    case Operand::f32: return false;
  }
  return false;
}

}  // namespace wins::runtime::cuda
