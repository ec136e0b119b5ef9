// Outputs of tiles, which lie as channels of one pixel, to their places.
#pragma once

#include <array>

#include "kernel.hpp"

namespace wins::runtime::cuda {

/// From [N, ceil(H / 2), ceil(W / 2), 4 x `pitch of a part`] to `output` [N, K, H, W]: channel (2 a + b) part + k of a tile is channel k of
/// its output (a, b). Adds the residual and applies the activation; channels that fill the last unit become zeros.
struct PixelShuffle {
  Layout output;
  std::int64_t part = 0;           ///< channels of one output of a tile, whole units
  std::int64_t residual_pitch = 0;  ///< 0: no residual
  graph::Activation activation;
};

/// Inputs: tiles, and the residual or null.
Step pixel_shuffle_step(const PixelShuffle& shuffle, Operand operand);

}  // namespace wins::runtime::cuda
