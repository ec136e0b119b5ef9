// What the line product reads of a 1x1 layer: filters tile by tile, and the scale and shift before it, as its threads take them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/runtime/cuda/row_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kLinePixels = 128, kPixelLine = 128;  ///< of a block; bytes of a pixel in a chunk
inline constexpr int kLineChunkBytes = kLinePixels * kPixelLine;
/// Filters of a block: those that were built.
constexpr bool is_line_tile(int filters) { return filters == 64 || filters == 128; }

inline constexpr int kLineSteps = kChunkUnits / 2;  ///< of a chunk: two units each

/// Floats of scale and shift of a chunk. Lane l of a warp has words l % 4 of both units of a step, in 16 bits two channels each.
constexpr int affine_floats(Operand operand) { return kLineSteps * 4 * (storage_bytes(operand) == 2 ? 8 : 4); }

/// W [K, C, 1, 1] as [tile of `tile_filters`][chunk] of FilterPack's matrices, [item][unit][filter][4 words]; zeros fill up chunks and tiles.
/// Throws `Error` as pack_filters does. Not for f32.
std::vector<std::uint32_t> pack_lines(const Tensor& weights, Operand operand, int tile_filters);

/// [chunk][step] and then, in 16 bits, [scale, shift][l % 4][unit of the step][channel of the word]; in TF32 [l % 4][scale, shift][unit].
/// Zeros where there are no channels.
std::vector<float> pack_affine(std::span<const float> scale, std::span<const float> shift, Operand operand);

}  // namespace wins::runtime::cuda
