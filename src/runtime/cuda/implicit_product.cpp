#include "implicit_product.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_product(const ProductCut& cut, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream);

bool launch_implicit_product(Operand operand, const ProductCut& cut, const ProductLayer& layer, const ProductPointers& pointers, cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch_product<Operand::f16>(cut, layer, pointers, stream);
    case Operand::bf16: return launch_product<Operand::bf16>(cut, layer, pointers, stream);
    case Operand::tf32: return launch_product<Operand::tf32>(cut, layer, pointers, stream);
    case Operand::f32: return launch_product<Operand::f32>(cut, layer, pointers, stream);
  }
  return false;
}

}  // namespace wins::runtime::cuda
