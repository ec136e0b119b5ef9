// How the stream product cuts a 1x1 layer: what a block keeps in shared memory, and how many blocks go through the pixels.
#pragma once

#include <cstdint>
#include <optional>

#include "wins/runtime/cuda/fused_layer.hpp"
#include "wins/runtime/cuda/line_pack.hpp"

namespace wins::runtime::cuda {

inline constexpr int kStreamStages = 2;  ///< tiles of outputs, where residuals come first
inline constexpr int kMostRing = 12;

/// Shared memory: a block's filters, all chunks of them, then a ring of chunks of pixels, the stages, and behind them biases and barriers.
struct StreamCut {
  int filters = 64;  ///< of a block
  int chunks = 1;    ///< of 128 bytes of channels
  int ring = 1;      ///< chunks of pixels in shared memory
  int resident = 1;  ///< blocks of a multiprocessor
  int blocks = 1;    ///< of a slice of filters; each takes every so-manieth tile of pixels
  int slices = 1;
  std::int32_t tiles = 1;  ///< of pixels
  WINS_DEVICE constexpr int filter_bytes() const { return chunks * filters * kChunkUnits * 16; }
  WINS_DEVICE constexpr int stage_bytes(int element_bytes) const { return filters * element_bytes * kLinePixels; }
  WINS_DEVICE constexpr int ring_at() const { return filter_bytes(); }
  WINS_DEVICE constexpr int stages_at() const { return ring_at() + ring * kLineChunkBytes; }
  WINS_DEVICE constexpr int bias_at(int element_bytes) const { return stages_at() + kStreamStages * stage_bytes(element_bytes); }
  WINS_DEVICE constexpr int barriers_at(int element_bytes) const { return bias_at(element_bytes) + filters * 4; }
  WINS_DEVICE constexpr int bytes(int element_bytes) const { return barriers_at(element_bytes) + (1 + ring + kStreamStages) * 8; }
};

struct StreamTile {
  int filters = 64, element_bytes = 2;
};
/// Two blocks a multiprocessor where filters, stages and two chunks of pixels of both fit, else one with three chunks; nothing where that does not fit.
std::optional<StreamCut> cut_stream(std::int64_t pixels, std::int64_t filters, std::int64_t chunks, StreamTile tile, const Multiprocessors& processors);

}  // namespace wins::runtime::cuda
