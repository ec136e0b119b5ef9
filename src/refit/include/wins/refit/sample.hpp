// Which tiles of the calibration pictures a layer's moments are gathered from.
#pragma once

#include <cstdint>
#include <vector>

#include "wins/base/tensor.hpp"
#include "wins/refit/linear_layer.hpp"

namespace wins::refit {

/// One tile: batch, picture in the batch, row and column of its first output pixel.
struct Tile {
  std::int64_t batch = 0, picture = 0, row = 0, col = 0;
};

/// Tiles with the same output pixels inside the image: the last row and column may be cut off.
struct TileClass {
  int rows = 0, cols = 0;  ///< output pixels inside, at most m each
  std::vector<Tile> tiles;
};

/// At most `limit` tiles of `batches` batches with outputs of this shape ([N, K, H, W] or [N, K]), the same
/// number from each picture, drawn without replacement by a generator that `seed` and the picture's number
/// start: pictures that shared one draw would leave out most of the image.
std::vector<TileClass> sample_tiles(const LinearLayer& layer, const Shape& output, std::size_t batches,
                                    std::int64_t limit, std::uint64_t seed);

}  // namespace wins::refit
