// The backend on the CPU: the project's own engine, OpenBLAS for the moments.
#pragma once

#include "wins/base/tensor.hpp"
#include "wins/refit/frontier_backend.hpp"

namespace wins::refit {

/// Segments as sessions of an engine ("cpu" or "ref").
Frontier<Tensor>::Open open_sessions(const std::string& engine, int threads);

class CpuBackend final : public FrontierBackend<Tensor> {
 public:
  explicit CpuBackend(const RefitOptions& options);
  void start(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Tensor>& batches) final;
  ChannelStatistics statistics(Side side, const std::string& value) const final;
  std::unique_ptr<LayerEngine> layer(const LayerSite& site) final;

 private:
  const RefitOptions& options_;
  const int threads_;
};

}  // namespace wins::refit
