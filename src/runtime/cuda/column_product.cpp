#include "column_product.hpp"

#include "tensor_map.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand>
bool launch_columns(ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns, const CUtensorMap& map,
                    cudaStream_t stream);

namespace {

/// The input as the copy engine takes it; false on devices without one, where kernels do not ask for it.
bool map_input(ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns, CUtensorMap& map) {
  const int pixels = kColumnTiles[static_cast<int>(tile)].pixels;
  if (is_strided(layer)) {
    PixelMapping mapping{Operand::f32, pointers.input, {layer.batch, layer.height, layer.width, columns.channels}, layer.input_pitch};
    mapping.stride_y = layer.stride_y;
    mapping.stride_x = layer.stride_x;
    mapping.pixels = pixels;
    mapping.channels = kLineChannels;
    mapping.swizzle = Swizzle::bytes128;
    return encode(mapping, map);
  }
  const std::int32_t all = layer.batch * layer.height * layer.width;
  return encode(TensorMapping{Operand::f32, pointers.input, {1, 1, all, columns.channels}, layer.input_pitch, {1, 1, pixels, kLineChannels}, Swizzle::bytes128}, map);
}

}  // namespace

bool launch_column_product(Operand operand, ColumnTile tile, const ProductLayer& layer, const ProductPointers& pointers, const ColumnPointers& columns,
                           cudaStream_t stream) {
  CUtensorMap map{};
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) return false;
  if (!map_input(tile, layer, pointers, columns, map) && major >= 9) return false;
  if (operand == Operand::f32) return launch_columns<Operand::f32>(tile, layer, pointers, columns, map, stream);
  return operand == Operand::tf32 && launch_columns<Operand::tf32>(tile, layer, pointers, columns, map, stream);
}

}  // namespace wins::runtime::cuda
