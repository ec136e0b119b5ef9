#include "line_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_lines(int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, const CUtensorMap& map, cudaStream_t stream);

bool launch_line_product(Operand operand, int filters, const ProductLayer& layer, const ProductPointers& pointers, const LinePointers& lines, cudaStream_t stream) {
  CUtensorMap map{};
  if (!is_line_tile(filters) || !encode_lines(operand, layer, pointers.input, static_cast<int>(layer.row_units * unit_channels(operand)), kLinePixels, map)) return false;
  switch (operand) {
    case Operand::f16: return launch_lines<Operand::f16>(filters, layer, pointers, lines, map, stream);
    case Operand::bf16: return launch_lines<Operand::bf16>(filters, layer, pointers, lines, map, stream);
    case Operand::tf32: return launch_lines<Operand::tf32>(filters, layer, pointers, lines, map, stream);
    case Operand::f32: return false;
  }
  return false;
}

}  // namespace wins::runtime::cuda
