#include "column_product.hpp"

#include "product_lines.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_columns(ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns, const CUtensorMap& map,
                    cudaStream_t stream);

bool launch_column_product(Operand operand, ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns,
                           cudaStream_t stream) {
  CUtensorMap map{};
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) return false;
  const int pixels = kColumnTiles[static_cast<int>(tile)].pixels;
  // Kernels for devices without a copy engine do not ask for it.
  if (!encode_lines(Operand::f32, layer, pointers.input, columns.channels, pixels, map) && major >= 9) return false;
  if (operand == Operand::f32) return launch_columns<Operand::f32>(tile, layer, pointers, columns, map, stream);
  return operand == Operand::tf32 && launch_columns<Operand::tf32>(tile, layer, pointers, columns, map, stream);
}

}  // namespace wins::runtime::cuda
