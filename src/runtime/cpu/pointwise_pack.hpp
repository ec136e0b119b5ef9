// Weights of a 1x1 convolution in the order in which the kernel reads them, zeros left out.
#pragma once

#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "pointwise_kernels.hpp"
#include "wins/base/tensor.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime::cpu {

/// One or two vectors of output channels and the input channels that they read.
struct PointwiseGroup {
  std::int64_t first_vector = 0;
  int vectors = 1;
  std::int64_t columns = 0;
  std::int64_t first_column = 0;  ///< in PackedPointwise::columns
  std::int64_t offset = 0;        ///< of the weights
};

/// What a layer costs.
struct PointwiseWork {
  std::int64_t weights = 0;  ///< multiplications per pixel, padded output channels included
  int weight_bytes = 4;      ///< of one
  double density = 1;        ///< columns kept / columns, over all groups: 1 without zeros
};

/// Input channels are cut into chunks, so that the pixels of a tile stay in the first-level cache
/// while all groups read them.
struct PackedPointwise {
  std::int64_t chunks = 1;
  std::vector<PointwiseGroup> groups;  ///< [chunk][group]
  std::vector<std::int32_t> columns;   ///< input channels
  std::int64_t group_count() const { return static_cast<std::int64_t>(groups.size()) / chunks; }
  AlignedFloats weights;
  bool halved = false;  ///< weights are bfloat16
  PointwiseWork work;
  std::size_t byte_size() const { return weights.byte_size() + columns.size() * sizeof(std::int32_t); }
};

/// Packs [K, C, 1, 1]. A column that is zero for all channels of a vector is left out there, which
/// is what block-wise column pruning makes; two neighbouring vectors that read nearly the same
/// columns form a group and share what they read.
PackedPointwise pack_pointwise(const Tensor& weights, const PointwiseKernels& kernels,
                               WeightStorage storage = WeightStorage::f32);
/// What packing would give, without the weights.
PointwiseWork pointwise_work(const Tensor& weights, const PointwiseKernels& kernels,
                             WeightStorage storage = WeightStorage::f32);

}  // namespace wins::runtime::cpu
