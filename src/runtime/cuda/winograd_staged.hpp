// The first and the last part of a Winograd layer in stages: V and M go through device memory, and a library multiplies
// in between.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "wins/runtime/cuda/divisor.hpp"
#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/staged_pack.hpp"

namespace wins::runtime::cuda {

/// Shapes of some images of a layer. Activations lie as in FusedLayer.
struct StagedLayer {
  std::int32_t m = 2, stride = 1;
  std::int32_t batch = 1;
  std::int32_t height = 1, width = 1, channels = 1;  // of the input
  std::int32_t out_height = 1, out_width = 1, filters = 1;
  std::int32_t pad_top = 0, pad_left = 0;
  std::int32_t input_pitch = 0, output_pitch = 0, residual_pitch = 0;
  FusedActivation activation = FusedActivation::none;
  float slope = 1, low = -kInfinity, high = kInfinity;  ///< of FusedActivation::general
  std::int32_t tile_rows = 1, tile_columns = 1;         ///< of an image
  Divisor by_tile_rows, by_tile_columns;
  std::int32_t packed_channels = 0, packed_filters = 0;  ///< C and K filled up to 16 bytes
  std::int32_t rows = 0;                                 ///< elements of a tile in M
  std::uint64_t alive_mask = 0;                          ///< bit xi
  std::int64_t position_elements = 0;                    ///< of V, from one position that has rows to the next

  std::int32_t tiles() const { return batch * tile_rows * tile_columns; }
};

/// Whether M lies in memory as 16-bit numbers where activations do: F(4,3) magnifies its rounding too much.
constexpr bool narrow_products(int m) { return m == 2; }

/// Of a grouped product: the kernel that makes V also writes the pointers that it reads, since the workspace's place is
/// known only then.
struct StagedProducts {
  const void** weights = nullptr;  ///< device memory for `count` pointers each, or null: none are written
  const void** V = nullptr;
  void** M = nullptr;
  const void* first_weights = nullptr;
  void* first_M = nullptr;
  std::int32_t count = 0;
  std::int32_t weight_bytes = 0;  ///< of one row
  std::int32_t product_bytes = 0;  ///< of one element of M
  std::int32_t first_row[kMaxStagedPositions] = {};
};

struct StagedOutput {
  const void* M = nullptr;
  const std::uint16_t* columns = nullptr;  ///< StagedPack::columns
  const float* bias = nullptr;             ///< [filters], or null
  const void* residual = nullptr;          ///< or null
  void* output = nullptr;
};

/// Enqueues V [position that has rows][tile][packed_channels] in the storage type. False when the device refused it.
bool launch_staged_input(Operand operand, const StagedLayer& layer, const void* input, void* V, const StagedProducts& products,
                         cudaStream_t stream);
/// Enqueues inverse transform, bias, residual and activation from M [tile][rows].
bool launch_staged_output(Operand operand, const StagedLayer& layer, const StagedOutput& pointers, cudaStream_t stream);

}  // namespace wins::runtime::cuda
