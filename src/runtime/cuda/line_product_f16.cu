#include "line_product.cuh"

namespace wins::runtime::cuda {

template bool launch_lines<Operand::f16>(int, const ProductLayer&, const ProductPointers&, const LinePointers&, const LineMaps&, cudaStream_t);

}  // namespace wins::runtime::cuda
