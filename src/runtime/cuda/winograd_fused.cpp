#include "winograd_fused.hpp"

#include "device.hpp"
#include "tensor_map.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand, int kStride>
bool launch_shape(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedMaps& maps,
                  const FusedGroups& groups, cudaStream_t stream);

namespace {

/// Rectangles as the kernel asks for them. False when the driver refuses.
bool encode_maps(Operand operand, int stride, FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, FusedMaps& maps) {
  const auto unit = unit_channels(operand), bytes = storage_bytes(operand);
  const auto padded = [&](std::int32_t channels) { return (channels + unit - 1) / unit * unit; };
  TensorMapping input{operand, pointers.input, {layer.batch, layer.height, layer.width, padded(layer.channels)}, layer.input_pitch};
  input.box = {layer.block_images, patch_rows(layer, stride), patch_columns(layer, stride), shape.units * unit};
  const int line = layer.memory.stage_line_bytes;
  TensorMapping output{operand, pointers.output, {layer.batch, layer.out_height, layer.out_width, padded(layer.filters)}, layer.output_pitch};
  const std::int32_t side = tile_outputs(layer);
  output.box = {layer.block_images, side * layer.block_rows, side * layer.block_columns, line / bytes};
  output.swizzle = line == 128 ? Swizzle::bytes128 : line == 64 ? Swizzle::bytes64 : Swizzle::bytes32;
  TensorMapping residual = output;
  residual.data = pointers.residual;
  residual.pitch = layer.residual_pitch;
  return encode(input, maps.input) && encode(output, maps.output) && (pointers.residual == nullptr || encode(residual, maps.residual));
}

template <Operand kOperand>
bool launch(int stride, FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream) {
  FusedMaps maps{};
  if (device().major >= 9 && !encode_maps(kOperand, stride, shape, layer, pointers, maps)) return false;
  return stride == 1 ? launch_shape<kOperand, 1>(shape, layer, pointers, maps, groups, stream)
                     : launch_shape<kOperand, 2>(shape, layer, pointers, maps, groups, stream);
}

}  // namespace

bool launch_winograd_fused(Operand operand, int stride, FusedShape shape, const FusedLayer& layer,
                           const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream) {
  switch (operand) {
    case Operand::f16: return launch<Operand::f16>(stride, shape, layer, pointers, groups, stream);
    case Operand::bf16: return launch<Operand::bf16>(stride, shape, layer, pointers, groups, stream);
    case Operand::tf32: return launch<Operand::tf32>(stride, shape, layer, pointers, groups, stream);
    case Operand::f32: return launch<Operand::f32>(stride, shape, layer, pointers, groups, stream);
  }
  return false;
}

}  // namespace wins::runtime::cuda
