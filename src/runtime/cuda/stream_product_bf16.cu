#include "stream_product.cuh"

namespace wins::runtime::cuda {

template bool launch_streams<Operand::bf16>(const StreamCut&, const ProductLayer&, const ProductPointers&, const LinePointers&, const StreamMaps&, cudaStream_t);

}  // namespace wins::runtime::cuda
