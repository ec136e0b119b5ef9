#include "column_product.cuh"

namespace wins::runtime::cuda {

template bool launch_columns<Operand::tf32>(ColumnTile, const ProductLayer&, const ProductPointers&, const ColumnPointers&, const CUtensorMap&, cudaStream_t);

}  // namespace wins::runtime::cuda
