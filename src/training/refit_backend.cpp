#include "refit_backend.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "network.hpp"
#include "refit_block.hpp"
#include "refit_systems.hpp"
#include "refit_tiles.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"

namespace wins::training {
namespace {

using refit::Frontier;
using refit::LayerSolution;
using refit::Side;

std::vector<double> to_vector(const at::Tensor& x) {
  const at::Tensor values = x.to(at::kDouble).cpu().contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

/// The layer alone, run with weights that stay on the device.
class SingleLayer {
 public:
  SingleLayer(const refit::LinearLayer& layer, const graph::Graph& part, at::Device device)
      : layer_(layer), network_(part, device, false) {
    const std::string& name = part.value(part.nodes[0].input(1)).name;
    for (const Parameter& parameter : network_.parameters()) {
      if (parameter.name == name) weights_ = parameter.value;
    }
    require(weights_.defined(), "refit: the weights of '{}' are not constant", layer.name);
    const auto* gemm = part.nodes[0].as<graph::Gemm>();
    gemm_ = gemm != nullptr;
    trans_b_ = gemm_ && gemm->trans_b;
  }

  /// `planes`: [positions, K, C].
  void set(const at::Tensor& planes) {
    if (layer_.algorithm != nullptr) {
      weights_.copy_(planes);
    } else if (gemm_) {
      weights_.copy_(trans_b_ ? planes[0] : planes[0].t());
    } else {
      weights_.copy_(planes.permute({1, 2, 0}).reshape(weights_.sizes()));
    }
  }
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) { return network_.run(inputs, Run{}); }

 private:
  const refit::LinearLayer& layer_;
  bool gemm_, trans_b_;
  Network network_;
  at::Tensor weights_;  ///< the network's
};

/// [K, ...] weights and [K] shift of a solution.
struct DeviceSolution {
  at::Tensor weights, shift;
};

class TorchLayer final : public refit::LayerEngine {
 public:
  TorchLayer(const refit::LayerSite& site, const Frontier<at::Tensor>& dense, const Frontier<at::Tensor>& pruned,
             const refit::RefitOptions& options, at::Device device)
      : pruned_(pruned),
        input_(pruned.at(site.input)),
        tiles_(site.layer, dense.at(site.output).at(0).sizes(), input_.size(), refit::wanted_tiles(site.layer, options),
               options.seed, device),
        block_(site, tiles_, dense, pruned),
        systems_(site.layer, tiles_, device),
        single_(site.layer, pruned.next(), device),
        bias_(at::tensor(site.bias, at::kDouble).to(device)) {}

  std::int64_t gather() final {
    targets_ = block_.first_targets();
    systems_.gather(input_, targets_);
    candidate_ = {systems_.given(), systems_.mean_error(systems_.given()) - bias_};
    best_ = candidate_;
    return tiles_.count();
  }

  void regather_targets() final { systems_.regather_targets(input_, targets_); }
  bool prepare(double ridge) final { return systems_.prepare(ridge); }

  int improve(int max_iterations, double tolerance) final {
    const int iterations = systems_.improve(candidate_.weights, max_iterations, tolerance);
    candidate_.shift = systems_.mean_error(candidate_.weights) - bias_;
    return iterations;
  }

  std::vector<double> judge(bool retarget) final {
    single_.set(systems_.planes(candidate_.weights));
    at::Tensor squared = at::zeros_like(candidate_.shift);
    const auto go = [&](const std::vector<at::Tensor>& inputs) { return single_.run(inputs); };
    pruned_.evaluate(go, [&](std::size_t batch, const at::Tensor& y) {
      squared += block_.squared_error(batch, y, candidate_.shift);
      if (retarget) block_.retarget(batch, y, candidate_.shift, targets_);
    });
    return to_vector(squared);
  }

  double relative(const std::vector<double>& squared) final {
    if (energy_ < 0) energy_ = block_.energy();
    double error = 0;
    for (const double value : squared) error += value;
    return energy_ > 0 ? std::sqrt(error / energy_) : 0;
  }

  void settle(const std::vector<char>& better) final {
    const std::vector<std::int64_t> flags(better.begin(), better.end());
    const at::Tensor take = at::tensor(flags, at::kLong).to(best_.shift.device(), at::kBool);
    best_.weights = at::where(take.unsqueeze(1), candidate_.weights, best_.weights);
    best_.shift = at::where(take, candidate_.shift, best_.shift);
    candidate_ = best_;
  }

  LayerSolution best() const final { return {from_torch(systems_.planes(best_.weights)), to_vector(best_.shift)}; }

 private:
  const Frontier<at::Tensor>& pruned_;
  const std::vector<at::Tensor>& input_;
  const TileSampler tiles_;
  const RefitBlock block_;
  SampledTargets targets_;
  RefitSystems systems_;
  SingleLayer single_;
  const at::Tensor bias_;  ///< [K] float64
  DeviceSolution candidate_, best_;
  double energy_ = -1;
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
