// The refit's backend on libtorch: activations, moments and solutions stay on the device.
#pragma once

#include <ATen/core/Tensor.h>

#include "wins/refit/frontier_backend.hpp"

namespace wins::training {

class RefitBackend final : public refit::FrontierBackend<at::Tensor> {
 public:
  RefitBackend(const refit::RefitOptions& options, at::Device device) : options_(options), device_(device) {}
  void start(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Tensor>& batches) final;
  refit::ChannelStatistics statistics(refit::Side side, const std::string& value) const final;
  std::unique_ptr<refit::LayerEngine> layer(const refit::LayerSite& site) final;

 private:
  const refit::RefitOptions& options_;
  const at::Device device_;
};

}  // namespace wins::training
