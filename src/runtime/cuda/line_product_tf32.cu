#include "line_stream.cuh"

namespace wins::runtime::cuda {

template bool launch_lines<Operand::tf32>(int, const ProductLayer&, const ProductPointers&, const LinePointers&, const LineMaps&, cudaStream_t);
template bool launch_streams<Operand::tf32>(int, const ProductLayer&, const ProductPointers&, const LinePointers&, const LineMaps&, int, cudaStream_t);

}  // namespace wins::runtime::cuda
