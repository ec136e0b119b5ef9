// What a layer's output becomes in both networks, up to the activation; the tensor form of refit::BlockOutput.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "refit_systems.hpp"
#include "refit_tiles.hpp"
#include "wins/refit/backend.hpp"
#include "wins/refit/frontier.hpp"

namespace wins::training {

class RefitBlock {
 public:
  using Activations = refit::Frontier<at::Tensor>;

  /// `site` must outlive it.
  RefitBlock(const refit::LayerSite& site, const TileSampler& tiles, const Activations& dense, const Activations& pruned);

  /// Linear outputs of the sampled tiles that would give the dense network's values in front of the activation.
  SampledTargets first_targets() const;
  /// The same for outputs `y` of one batch, where values that the activation cuts off in both networks may stay.
  void retarget(std::size_t batch, const at::Tensor& y, const at::Tensor& shift, SampledTargets& targets) const;

  /// Squared error behind the activation, summed over pictures and pixels: [K] float64. `shift`: [K] float64.
  at::Tensor squared_error(std::size_t batch, const at::Tensor& y, const at::Tensor& shift) const;
  /// Squared deviation of the dense network's values from their channel means, over all channels.
  double energy() const;

 private:
  /// Of the sampled tiles of one set and batch, [m*m, T, K].
  struct Sample {
    at::Tensor target;  ///< the layer's output in the dense network
    at::Tensor dense;   ///< what it becomes there in front of the activation
    at::Tensor other;   ///< the other branch as the pruned network has it; undefined without one
    at::Tensor inside;  ///< 0 for pixels outside the image, 1 inside: [m*m, 1, 1]
  };
  at::Tensor output_for(const Sample& sample, const at::Tensor& wanted) const;

  const refit::LayerSite& site_;
  const TileSampler& tiles_;
  const std::vector<at::Tensor>* other_ = nullptr;  ///< the other branch as the pruned network has it
  std::vector<at::Tensor> dense_;                   ///< behind the activation in the dense network, by batch
  std::vector<std::vector<Sample>> samples_;        ///< by tile set and batch
  at::Tensor scale_, offset_, alive_, safe_scale_;  ///< [K] float32
};

/// Sums over everything but channels, in double: [C].
at::Tensor channel_sums(const at::Tensor& x);
/// [C] as a factor for activations like `like`.
at::Tensor per_channel(const at::Tensor& values, const at::Tensor& like);
at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like);

}  // namespace wins::training
