#include "line_stream.cuh"

namespace wins::runtime::cuda {

template bool launch_lines<Operand::f16>(int, const ProductLayer&, const ProductPointers&, const LinePointers&, const LineMaps&, cudaStream_t);
template bool launch_streams<Operand::f16>(int, const ProductLayer&, const ProductPointers&, const LinePointers&, const LineMaps&, int, cudaStream_t);

}  // namespace wins::runtime::cuda
