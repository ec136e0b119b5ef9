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

/// The same for what a tile's outputs begin as and end as.
bool encode_outputs(Operand operand, const ProductLayer& layer, const ProductPointers& pointers, LineMaps& maps) {
  const auto unit = static_cast<std::int32_t>(unit_channels(operand));
  ProductLayer out;
  out.batch = layer.batch;
  out.height = layer.out_height;
  out.width = layer.out_width;
  out.stride_y = out.stride_x = 1;
  const int channels = (layer.filters + unit - 1) / unit * unit;
  out.input_pitch = layer.output_pitch;
  if (!encode_lines(operand, out, pointers.output, channels, kLinePixels, maps.output)) return false;
  out.input_pitch = layer.residual_pitch;
  return pointers.residual == nullptr || encode_lines(operand, out, pointers.residual, channels, kLinePixels, maps.residual);
}

}  // namespace

bool launch_line_product(Operand operand, LineShape shape, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, int processors,
                         cudaStream_t stream) {
  LineMaps maps{};
  if (!is_line_tile(shape.filters) || !encode_inputs(operand, layer, pointers.input, lines, maps)) return false;
  if (shape.stays && !encode_outputs(operand, layer, pointers, maps)) return false;
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
