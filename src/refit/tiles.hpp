// From activations to matrices: sampled tiles of a layer's input, and the targets of their output pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "activations.hpp"
#include "wins/refit/sample.hpp"

namespace wins::refit {

/// V of `tiles`: [positions, C, T] float32, in `V`. Positions that are not alive are left out of the work.
void gather_input(const LinearLayer& layer, const Activations& x, const std::vector<Tile>& tiles, int threads,
                  std::vector<float>& V);

/// Targets of the sampled tiles alone, class by class: [m*m, K, tiles] float32, pixels outside the image zero.
using TileTargets = std::vector<std::vector<float>>;

}  // namespace wins::refit
