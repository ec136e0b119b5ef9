#include "winograd_fused.hpp"

namespace wins::runtime::cuda {

// Built in a file for each operand.
template <Operand kOperand, int kStride>
bool launch_shape(FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedGroups& groups,
                  cudaStream_t stream);

namespace {

template <Operand kOperand>
bool launch(int stride, FusedShape shape, const FusedLayer& layer, const FusedPointers& pointers, const FusedGroups& groups, cudaStream_t stream) {
  return stride == 1 ? launch_shape<kOperand, 1>(shape, layer, pointers, groups, stream)
                     : launch_shape<kOperand, 2>(shape, layer, pointers, groups, stream);
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
