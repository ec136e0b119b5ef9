// Second moments of one layer: the Hessian of its output error and the right-hand side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "wins/refit/linear_layer.hpp"
#include "tiles.hpp"

namespace wins::refit {

/// Sums over output pixels of phi phi^T and y phi^T, phi[(xi,c)] = Aw[xi,a] V[xi,c]. Blocks of positions that
/// died, and pairs of positions that never meet in an output pixel, are not stored.
class Moments {
 public:
  Moments(const LinearLayer& layer, int threads);

  /// Bytes that the blocks of a layer take.
  static std::size_t bytes(const LinearLayer& layer);

  /// The same `classes` of tiles for `gather` and, as often as wanted afterwards, `retarget`. Without targets
  /// `rhs` and `target_mean` stay zero.
  void gather(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets);
  /// E[y phi] and E[y] for other targets y of the same inputs.
  void retarget(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets);

  /// Targets that these weights ([positions, K, C]) would give exactly: rhs = H u, without a pass over tiles.
  void aim_at(const Tensor& weights);

  /// E[phi phi^T] of positions (xi, other), C x C. Only xi <= other is stored: null for other pairs and for
  /// pairs that are zero.
  const float* block(int xi, int other) const;
  const std::vector<float>& rhs() const { return rhs_; }                   ///< E[y phi], [positions, K, C]
  const std::vector<double>& mean() const { return mean_; }                ///< E[phi], [positions, C]
  const std::vector<double>& target_mean() const { return target_mean_; }  ///< E[y], K
  /// u . E[phi] of each output channel for weights [positions, K, C].
  std::vector<double> mean_output(const Tensor& weights) const;
  /// E[phi^2] - E[phi]^2 averaged over the (xi, c) that are alive under `mask`.
  double mean_diagonal(const winograd::Mask& mask) const;

 private:
  struct Pair {
    int xi, other;
    std::vector<float> values;
  };
  /// V and Y of some tiles of one class.
  struct Chunk {
    const TileClass& kind;
    std::vector<float> V, Y;
    std::int64_t T;
  };
  using VisitChunk = std::function<void(const Chunk&)>;
  void for_each_chunk(const Activations& x, const std::vector<TileClass>& classes, const TileTargets& targets,
                      const VisitChunk& visit) const;
  void add_blocks(const Chunk& chunk);
  void add_means(const Chunk& chunk);
  void add_targets(const Chunk& chunk);
  void add_position_targets(int xi, const Chunk& chunk);
  void scale_targets(double scale);

  const LinearLayer& layer_;
  const int threads_;
  std::vector<Pair> pairs_;
  std::vector<int> index_;  ///< [positions, positions] into pairs_, -1
  std::vector<float> rhs_;
  std::vector<double> mean_, target_mean_;
};

}  // namespace wins::refit
