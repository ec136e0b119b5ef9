// A Winograd layer in stages, V and M in device memory: input transform, one launch for the products of all positions,
// output transform.
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
  bool max_pool = false;  ///< of 2x2 outputs with stride 2 behind the activation; the output is then the pool's
  std::int32_t input_pitch = 0, output_pitch = 0, residual_pitch = 0;
  FusedActivation activation = FusedActivation::none;
  float slope = 1, low = -kInfinity, high = kInfinity;  ///< of FusedActivation::general
  std::int32_t tile_rows = 1, tile_columns = 1;         ///< of an image
  Divisor by_tile_rows, by_tile_columns;
  std::int32_t packed_channels = 0;       ///< C filled up to 16 bytes
  std::uint64_t alive_mask = 0;           ///< bit xi
  std::int64_t tile_pitch = 0;            ///< of M, from one row to the next: staged_tile_pitch

  WINS_DEVICE std::int32_t tiles() const { return batch * tile_rows * tile_columns; }
  /// Of V, from one position that has rows to the next.
  WINS_DEVICE std::int64_t position_elements() const { return tile_pitch * packed_channels; }
  WINS_DEVICE std::int32_t written_height() const { return max_pool ? out_height / 2 : out_height; }
  WINS_DEVICE std::int32_t written_width() const { return max_pool ? out_width / 2 : out_width; }
};

/// Tiles of a block that multiplies.
inline constexpr int kStagedTiles = 128;

/// Tiles filled up to whole blocks.
constexpr std::int64_t staged_tile_pitch(std::int64_t tiles) { return (tiles + kStagedTiles - 1) / kStagedTiles * kStagedTiles; }

/// Whether M lies in memory as 16-bit numbers where activations do: F(4,3) magnifies its rounding too much.
constexpr bool narrow_products(int m) { return m == 2; }

/// Products of positions: rows [first_row, first_row + rows) of the weights by the position's part of V.
struct StagedProducts {
  std::int32_t count = 0;
  std::int32_t channels = 0;  ///< filled up to 16 bytes
  std::int32_t blocks = 0;
  std::int32_t block_rows = 64;  ///< at most, of a block: 64 or 128
  std::int64_t position_elements = 0, tile_pitch = 0;  ///< as in StagedLayer
  std::int32_t first_row[kMaxStagedPositions] = {}, rows[kMaxStagedPositions] = {}, first_block[kMaxStagedPositions] = {},
               first_item[kMaxStagedPositions] = {};

  StagedProducts(const StagedPack& pack, const StagedLayer& layer);

 private:
  void cut(std::int32_t tiles);
};

struct StagedOutput {
  const void* M = nullptr;
  const std::uint32_t* groups = nullptr;  ///< StagedPack::groups
  const float* bias = nullptr;            ///< [filters], or null
  const void* residual = nullptr;         ///< or null
  void* output = nullptr;
};

// Each enqueues; false when the device refused it.

/// V [position that has rows][kStagedTiles tiles][unit of 16 bytes][tile][16 bytes]: what a block multiplies lies together.
bool launch_staged_input(Operand operand, const StagedLayer& layer, const void* input, void* V, cudaStream_t stream);
/// M [row][tile_pitch] from StagedPack::weights.
bool launch_staged_products(Operand operand, int m, const StagedProducts& products, const void* weights, const void* V, void* M,
                            cudaStream_t stream);
/// Inverse transform, bias, residual, activation and pool.
bool launch_staged_output(Operand operand, const StagedLayer& layer, const StagedOutput& pointers, cudaStream_t stream);

}  // namespace wins::runtime::cuda
