// Sampled tiles of a layer as tensors: features of its input, and pixels of its output.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wins/refit/linear_layer.hpp"

namespace wins::training {

/// Tiles with the same output pixels inside the image; the tensor form of refit::TileClass.
struct TileSet {
  std::int64_t rows = 0, cols = 0;  ///< output pixels inside, at most m each
  std::vector<at::Tensor> tiles;    ///< for each batch int64 [3, T]: picture, row and column of the first output pixel
};

class TileSampler {
 public:
  /// The tiles that `refit::sample_tiles` draws from `batches` batches with outputs of this shape ([N, K, H, W] or
  /// [N, K]).
  TileSampler(const refit::LinearLayer& layer, at::IntArrayRef output, std::size_t batches, std::int64_t limit,
              std::uint64_t seed, at::Device device);

  const std::vector<TileSet>& sets() const { return sets_; }
  std::int64_t count() const { return count_; }
  /// Positions that keep any weight, in order.
  const std::vector<std::int64_t>& alive() const { return alive_; }

  /// V of one batch's tiles: [alive positions, T, C].
  at::Tensor features(const at::Tensor& x, const at::Tensor& tiles) const;
  /// Output pixels of one batch's tiles: [m*m, T, K], zero outside the image.
  at::Tensor pixels(const at::Tensor& y, const at::Tensor& tiles) const;
  /// 1 for output pixels inside the image, 0 outside: [m*m] float64.
  at::Tensor inside(const TileSet& set) const;
  /// Aw of the alive positions with columns of pixels outside the image zero: [alive, m*m] float64.
  at::Tensor spread(const TileSet& set) const;

 private:
  const refit::LinearLayer& layer_;
  const at::Device device_;
  std::int64_t grid_rows_, grid_cols_, count_ = 0;
  std::vector<std::int64_t> alive_;
  std::vector<TileSet> sets_;
  at::Tensor transform_;  ///< [alive, p*p]: V from the pixels of a tile; Winograd layers
  at::Tensor Aw_;         ///< [alive, m*m] float64
};

}  // namespace wins::training
