// Second moments of one layer: the Hessian of its output error and the right-hand side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "linear_layer.hpp"
#include "tiles.hpp"

namespace wins::refit {

/// Sums over output pixels of phi phi^T and y phi^T, phi[(xi,c)] = Aw[xi,a] V[xi,c]. Blocks of positions that
/// died, and pairs of positions that never meet in an output pixel, are not stored.
class Moments {
 public:
  Moments(const LinearLayer& layer, int threads);

  /// Bytes that the blocks of a layer take.
  static std::size_t bytes(const LinearLayer& layer);

  void add(const Activations& x, const Activations& y, const std::vector<TileClass>& classes);
  /// Sums to means. Call once, after the last `add`.
  void finish();

  /// E[phi phi^T] of positions (xi, other), C x C. Only xi <= other is stored: null for other pairs and for
  /// pairs that are zero.
  const float* block(int xi, int other) const;
  const std::vector<float>& rhs() const { return rhs_; }                   ///< E[y phi], [positions, K, C]
  const std::vector<double>& mean() const { return mean_; }                ///< E[phi], [positions, C]
  const std::vector<double>& target_mean() const { return target_mean_; }  ///< E[y], K
  /// E[phi^2] - E[phi]^2 averaged over all alive (xi, c).
  double mean_diagonal() const;

 private:
  struct Pair {
    int xi, other;
    std::vector<float> values;
  };
  void add_chunk(const TileClass& kind, const std::vector<float>& V, const std::vector<float>& Y,
                 std::int64_t T);
  void add_blocks(const TileClass& kind, const std::vector<float>& V, std::int64_t T);
  void add_position(int xi, const TileClass& kind, const std::vector<float>& V, const std::vector<float>& Y,
                    std::int64_t T);

  const LinearLayer& layer_;
  const int threads_;
  std::vector<Pair> pairs_;
  std::vector<int> index_;  ///< [positions, positions] into pairs_, -1
  std::vector<float> rhs_;
  std::vector<double> mean_, target_mean_;
  double pixels_ = 0;
};

}  // namespace wins::refit
