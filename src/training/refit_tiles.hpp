// Sampled tiles of a layer as tensors: features of its input, and pixels of its output.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wins/refit/linear_layer.hpp"

namespace wins::training {

/// Tiles of a picture with the same output pixels inside; the same ones in all pictures.
struct TileSet {
  std::int64_t rows = 0, cols = 0;  ///< output pixels inside, at most m each
  at::Tensor index;                 ///< int64 [t], row-major over the grid of tiles
};

class TileSampler {
 public:
  /// Draws at most `limit` tiles, the same from each of `pictures` pictures with outputs of this shape
  /// ([N, K, H, W] or [N, K]).
  TileSampler(const refit::LinearLayer& layer, at::IntArrayRef output, std::int64_t pictures, std::int64_t limit,
              std::uint64_t seed, at::Device device);

  const std::vector<TileSet>& sets() const { return sets_; }
  std::int64_t tiles_per_picture() const { return each_; }
  /// Positions that keep any weight, in order.
  const std::vector<std::int64_t>& alive() const { return alive_; }

  /// V of one batch: [alive positions, C, N * t].
  at::Tensor features(const at::Tensor& x, const TileSet& set) const;
  /// Output pixels of one batch: [m*m, K, N * t], zero outside the image.
  at::Tensor pixels(const at::Tensor& y, const TileSet& set) const;
  /// Aw of the alive positions with columns of pixels outside the image zero: [alive, m*m] float64.
  at::Tensor spread(const TileSet& set) const;

 private:
  const refit::LinearLayer& layer_;
  std::int64_t grid_rows_, grid_cols_, each_;
  std::vector<std::int64_t> alive_;
  std::vector<TileSet> sets_;
  at::Tensor alive_index_;  ///< int64
  at::Tensor transform_;    ///< [p*p, alive]: V from the pixels of a tile; Winograd layers
  at::Tensor Aw_;           ///< [alive, m*m] float64
};

}  // namespace wins::training
