#include "pair_product.cuh"

namespace wins::runtime::cuda {

template bool launch_pair<Operand::bf16>(const PairCut&, const PairLayer&, const PairPointers&, cudaStream_t);

}  // namespace wins::runtime::cuda
