// The error of a layer where it counts, behind batch norm, residual add and activation, and the targets
// that lower it.
#pragma once

#include <cstdint>
#include <vector>

#include "activations.hpp"
#include "wins/refit/linear_layer.hpp"
#include "wins/refit/surroundings.hpp"
#include "tiles.hpp"

namespace wins::refit {

/// f(z) with z = scale (y + shift) + offset + other branch and f the clamp of the activation. The squared
/// error of f is not quadratic in y, but lies below a quadratic that touches it at the present z (where the
/// dense network's value is clamped, z may go on to any value that is clamped too): fitting to the
/// `targets` of that quadratic, again and again, never raises the error. With a quadratic penalty instead:
/// Zhang, Zou, He & Sun, "Accelerating Very Deep Convolutional Networks" (TPAMI 2016), section 3.2.
class BlockOutput {
 public:
  /// `target`: the dense layer's outputs. The other branch is `dense_other` in the dense network and
  /// `other` in the pruned one; both null without one. All must outlive this.
  struct Branches {
    const Activations* target = nullptr;
    const Activations* dense_other = nullptr;
    const Activations* other = nullptr;
  };
  BlockOutput(const Surroundings& dense, const Surroundings& pruned, const Branches& branches, int threads);

  /// Squared error of each channel for outputs y + shift: adds one batch of outputs [N, K, ...].
  void judge(std::size_t batch, const Tensor& y, const std::vector<double>& shift,
             std::vector<double>& squared) const;

  /// Targets of the layer's outputs on sampled tiles. `linear`: those that would give the dense network's z.
  TileTargets linear_targets(const LinearLayer& layer, const std::vector<TileClass>& classes) const;
  /// Given the present outputs y + shift of one batch: replaces the targets of its tiles.
  void retarget(std::size_t batch, const Tensor& y, const std::vector<double>& shift, const LinearLayer& layer,
                const std::vector<TileClass>& classes, TileTargets& targets) const;

  /// sqrt(sum of `squared` / squared deviation of the dense network's f from its channel means).
  double relative(const std::vector<double>& squared) const;

 private:
  struct Channel;
  struct Present;
  Channel channel(std::size_t k) const;
  void fill(const Present& present, const LinearLayer& layer, const std::vector<TileClass>& classes,
            TileTargets& targets) const;
  double energy() const;

  const Surroundings& dense_;
  const Surroundings& pruned_;
  const Branches branches_;
  const int threads_;
  double smallest_scale_ = 0;  ///< channels below are as good as switched off
};

}  // namespace wins::refit
