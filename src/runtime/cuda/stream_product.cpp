#include "stream_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_streams(const StreamCut& cut, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const StreamMaps& maps, cudaStream_t stream);

namespace {

/// False when the driver refuses.
bool encode_maps(Operand operand, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, StreamMaps& maps) {
  if (!encode_maps(operand, layer, pointers, lines, maps.input)) return false;
  const std::int32_t pixels = layer.batch * layer.out_height * layer.out_width;
  if (!encode_lines(operand, pointers.output, pixels, layer.filters, layer.output_pitch, kLinePixels, maps.output)) return false;
  return pointers.residual == nullptr || encode_lines(operand, pointers.residual, pixels, layer.filters, layer.residual_pitch, kLinePixels, maps.residual);
}

}  // namespace

bool launch_stream_product(Operand operand, const StreamCut& cut, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream) {
  StreamMaps maps{};
  if (!is_line_tile(cut.filters) || !encode_maps(operand, layer, pointers, lines, maps)) return false;
  return with_line_operand(operand, [&]<Operand kOperand>() { return launch_streams<kOperand>(cut, layer, pointers, lines, maps, stream); });
}

}  // namespace wins::runtime::cuda
