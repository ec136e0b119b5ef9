#include "winograd_launch.cuh"

namespace wins::runtime::cuda {

template bool launch_shape<Operand::f32, 1>(FusedShape, const FusedLayer&, const FusedPointers&, const FusedMaps&, const FusedGroups&, cudaStream_t);
template bool launch_shape<Operand::f32, 2>(FusedShape, const FusedLayer&, const FusedPointers&, const FusedMaps&, const FusedGroups&, cudaStream_t);

}  // namespace wins::runtime::cuda
