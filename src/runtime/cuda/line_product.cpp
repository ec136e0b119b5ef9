#include "line_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const LineMaps& maps, cudaStream_t stream);

namespace {

/// False when the driver refuses.
bool encode_inputs(Operand operand, const ProductLayer& layer, const void* input, const LinePointers& lines, LineMaps& maps) {
  const auto channels = [operand](std::int32_t units) { return static_cast<int>(units * unit_channels(operand)); };
  if (!encode_lines(operand, layer, input, channels(layer.row_units), kLinePixels, maps.own)) return false;
  if (lines.added == nullptr) return true;
  ProductLayer added;
  added.batch = layer.batch;
  added.height = layer.out_height;
  added.width = layer.out_width;
  added.stride_y = added.stride_x = 1;
  added.input_pitch = lines.added_pitch;
  return encode_lines(operand, added, lines.added, channels(lines.added_units), kLinePixels, maps.added);
}

}  // namespace

bool launch_line_product(Operand operand, int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream) {
  LineMaps maps{};
  if (!is_line_tile(filters) || !encode_inputs(operand, layer, pointers.input, lines, maps)) return false;
  switch (operand) {
    case Operand::f16: return launch_lines<Operand::f16>(filters, layer, pointers, lines, maps, stream);
    case Operand::bf16: return launch_lines<Operand::bf16>(filters, layer, pointers, lines, maps, stream);
    case Operand::tf32: return launch_lines<Operand::tf32>(filters, layer, pointers, lines, maps, stream);
    case Operand::f32: return false;
  }
  return false;
}

}  // namespace wins::runtime::cuda
