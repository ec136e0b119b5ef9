#include "refit_backend.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "network.hpp"
#include "refit_systems.hpp"
#include "refit_tiles.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"

namespace wins::training {
namespace {

using refit::Frontier;
using refit::LayerSolution;
using refit::Side;

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  shape[1] = static_cast<std::int64_t>(values.size());
  return at::tensor(values, at::kDouble).to(at::kFloat).to(like.device()).view(shape);
}

/// Sums over everything but channels, in double.
at::Tensor channel_sums(const at::Tensor& x) {
  return x.dim() == 2 ? x.sum(at::IntArrayRef({0}), false, at::kDouble) : x.sum(at::IntArrayRef({0, 2, 3}), false, at::kDouble);
}

std::vector<double> to_vector(const at::Tensor& x) {
  const at::Tensor values = x.to(at::kDouble).cpu().contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

/// What the layer's output becomes in both networks; the tensor form of refit::BlockOutput.
class Block {
 public:
  Block(const refit::LayerSite& site, const Frontier<at::Tensor>& dense, const Frontier<at::Tensor>& pruned)
      : site_(site), target_(dense.at(site.output)) {
    const std::string& other = site.pruned.other_branch;
    if (!other.empty()) {
      dense_other_ = &dense.at(other);
      other_ = site.correct_residual ? &pruned.at(other) : dense_other_;
    }
    const at::Tensor& like = target_.at(0);
    dense_scale_ = per_channel(site.dense.scale, like);
    dense_offset_ = per_channel(site.dense.offset, like);
    scale_ = per_channel(site.pruned.scale, like);
    offset_ = per_channel(site.pruned.offset, like);
    alive_ = scale_.abs() > refit::kSwitchedOff * scale_.abs().max();
    safe_scale_ = at::where(alive_, scale_, at::ones_like(scale_));
  }

  std::size_t batches() const { return target_.size(); }
  at::Tensor clamp(const at::Tensor& z) const {
    return site_.pruned.clamps() ? z.clamp(site_.pruned.low, site_.pruned.high) : z;
  }
  at::Tensor dense_z(std::size_t batch) const {
    const at::Tensor z = target_[batch] * dense_scale_ + dense_offset_;
    return dense_other_ == nullptr ? z : z + (*dense_other_)[batch];
  }
  at::Tensor z(std::size_t batch, const at::Tensor& y, const at::Tensor& shift) const {
    const at::Tensor value = (y + shift) * scale_ + offset_;
    return other_ == nullptr ? value : value + (*other_)[batch];
  }
  /// What z should be, given what it is.
  at::Tensor wanted(const at::Tensor& dense, const at::Tensor& present) const {
    const double low = site_.pruned.low, high = site_.pruned.high;
    at::Tensor result = dense;
    if (std::isfinite(low)) result = at::where(dense <= low, present.clamp_max(low), result);
    if (std::isfinite(high)) result = at::where(dense >= high, present.clamp_min(high), result);
    return result;
  }
  /// The y that gives z; channels that are switched off keep the dense network's.
  at::Tensor output_for(std::size_t batch, const at::Tensor& z_wanted) const {
    at::Tensor rest = z_wanted - offset_;
    if (other_ != nullptr) rest = rest - (*other_)[batch];
    return at::where(alive_, rest / safe_scale_, target_[batch]);
  }
  const at::Tensor& like() const { return target_.at(0); }

 private:
  const refit::LayerSite& site_;
  const std::vector<at::Tensor>& target_;
  const std::vector<at::Tensor>* dense_other_ = nullptr;
  const std::vector<at::Tensor>* other_ = nullptr;
  at::Tensor dense_scale_, dense_offset_, scale_, offset_, alive_, safe_scale_;
};

class TorchLayer final : public refit::LayerEngine {
 public:
  TorchLayer(const refit::LayerSite& site, const Frontier<at::Tensor>& dense, const Frontier<at::Tensor>& pruned,
             const refit::RefitOptions& options, at::Device device)
      : site_(site),
        pruned_(pruned),
        input_(pruned.at(site.input)),
        block_(site, dense, pruned),
        tiles_(site.layer, block_.like().sizes(), block_.batches(), refit::wanted_tiles(site.layer, options), options.seed, device),
        systems_(site.layer, tiles_, device) {}

  std::int64_t gather() final {
    targets_.assign(tiles_.sets().size(), std::vector<at::Tensor>(block_.batches()));
    for (std::size_t b = 0; b < block_.batches(); ++b) set_targets(b, block_.dense_z(b));
    systems_.gather(input_, targets_);
    return tiles_.count();
  }

  void regather_targets() final { systems_.regather_targets(input_, targets_); }
  bool prepare(double ridge) final { return systems_.prepare(ridge); }
  int improve(Tensor& weights, int max_iterations, double tolerance) final {
    return systems_.improve(weights, max_iterations, tolerance);
  }

  std::vector<double> shift_of(const Tensor& weights) const final {
    std::vector<double> shift = to_vector(systems_.mean_error(weights));
    for (std::size_t k = 0; k < shift.size(); ++k) shift[k] -= site_.bias[k];
    return shift;
  }

  std::vector<double> judge(const LayerSolution& solution, bool retarget) final {
    site_.store(solution.weights);
    const at::Tensor shift = per_channel(solution.shift, block_.like());
    at::Tensor squared = at::zeros({site_.layer.K}, block_.like().options().dtype(at::kDouble));
    pruned_.evaluate([&](std::size_t batch, const at::Tensor& y) {
      const at::Tensor dense = block_.dense_z(batch), present = block_.z(batch, y, shift);
      squared += channel_sums((block_.clamp(present) - block_.clamp(dense)).square());
      if (retarget) set_targets(batch, block_.wanted(dense, present));
    });
    return to_vector(squared);
  }

  double relative(const std::vector<double>& squared) const final {
    at::Tensor sums = at::zeros({site_.layer.K}, block_.like().options().dtype(at::kDouble)), squares = sums.clone();
    double count = 0;
    for (std::size_t b = 0; b < block_.batches(); ++b) {
      const at::Tensor f = block_.clamp(block_.dense_z(b));
      sums += channel_sums(f);
      squares += channel_sums(f.square());
      count += static_cast<double>(f.numel() / f.size(1));
    }
    const double energy = (squares - sums.square() / count).clamp_min(0).sum().item<double>();
    double error = 0;
    for (const double value : squared) error += value;
    return energy > 0 ? std::sqrt(error / energy) : 0;
  }

 private:
  void set_targets(std::size_t batch, const at::Tensor& z) {
    const at::Tensor y = block_.output_for(batch, z);
    for (std::size_t i = 0; i < targets_.size(); ++i) targets_[i][batch] = tiles_.pixels(y, tiles_.sets()[i].tiles[batch]);
  }

  const refit::LayerSite& site_;
  const Frontier<at::Tensor>& pruned_;
  const std::vector<at::Tensor>& input_;
  const Block block_;
  const TileSampler tiles_;
  SampledTargets targets_;
  RefitSystems systems_;
};

}  // namespace

void RefitBackend::start(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Tensor>& batches) {
  std::vector<at::Tensor> inputs;
  for (const Tensor& batch : batches) inputs.push_back(to_torch(batch, device_));
  open(dense, pruned, inputs, [device = device_](const graph::Graph& part) -> Frontier<at::Tensor>::Run {
    const auto network = std::make_shared<Network>(part, device, false);
    return [network](const std::vector<at::Tensor>& tensors) { return network->run(tensors, Run{}); };
  });
}

refit::ChannelStatistics RefitBackend::statistics(Side side, const std::string& value) const {
  const std::vector<at::Tensor>& activations = at(side).at(value);
  at::Tensor sums = channel_sums(activations.at(0)).zero_(), squares = sums.clone();
  double count = 0;
  for (const at::Tensor& x : activations) count += static_cast<double>(x.numel() / x.size(1));
  for (const at::Tensor& x : activations) sums += channel_sums(x);
  // Deviations from the mean in a second pass: no cancellation when the mean is large.
  const std::vector<double> mean = to_vector(sums / count);
  for (const at::Tensor& x : activations) squares += channel_sums((x - per_channel(mean, x)).square());
  return {mean, to_vector(squares / count)};
}

std::unique_ptr<refit::LayerEngine> RefitBackend::layer(const refit::LayerSite& site) {
  return std::make_unique<TorchLayer>(site, at(Side::dense), at(Side::pruned), options_, device_);
}

}  // namespace wins::training
