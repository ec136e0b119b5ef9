#include "implicit_product.cuh"

namespace wins::runtime::cuda {

template bool launch_product<Operand::f16>(const ProductCut&, const ProductLayer&, const ProductPointers&, cudaStream_t);

}  // namespace wins::runtime::cuda
