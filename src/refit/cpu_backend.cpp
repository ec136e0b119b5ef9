#include "cpu_backend.hpp"

#include <algorithm>

#include "block_output.hpp"
#include "moments.hpp"
#include "solver.hpp"
#include "statistics.hpp"
#include "tiles.hpp"
#include "wins/base/parallel.hpp"
#include "wins/runtime/session.hpp"

namespace wins::refit {
namespace {

class CpuLayer final : public LayerEngine {
 public:
  CpuLayer(const LayerSite& site, const Frontier<Tensor>& dense, const Frontier<Tensor>& pruned,
           const RefitOptions& options, int threads)
      : site_(site),
        layer_(site.layer),
        pruned_(pruned),
        input_(pruned.at(site.input)),
        threads_(threads),
        block_(site.dense, site.pruned, branches(site, dense, pruned), threads),
        tiles_(sample_tiles(layer_, dense.at(site.output).at(0).shape(), input_.size(), wanted_tiles(layer_, options),
                            options.seed)),
        moments_(layer_, threads) {}

  std::int64_t gather() final {
    targets_ = block_.linear_targets(layer_, tiles_);
    moments_.gather(input_, tiles_, targets_);
    candidate_ = {layer_.weights, shift_of(layer_.weights)};
    best_ = candidate_;
    std::int64_t count = 0;
    for (const TileClass& kind : tiles_) count += static_cast<std::int64_t>(kind.tiles.size());
    return count;
  }

  void regather_targets() final { moments_.retarget(input_, tiles_, targets_); }

  bool prepare(double ridge) final {
    solver_ = std::make_unique<Solver>(layer_, moments_, ridge, threads_);
    return solver_->ready();
  }

  int improve(int max_iterations, double tolerance) final {
    const int iterations = solver_->improve(candidate_.weights, max_iterations, tolerance);
    candidate_.shift = shift_of(candidate_.weights);
    return iterations;
  }

  std::vector<double> judge(bool retarget) final {
    std::vector<double> squared(static_cast<std::size_t>(layer_.K), 0.0);
    site_.store(candidate_.weights);
    pruned_.evaluate([&](std::size_t batch, const Tensor& y) {
      block_.judge(batch, y, candidate_.shift, squared);
      if (retarget) block_.retarget(batch, y, candidate_.shift, layer_, tiles_, targets_);
    });
    return squared;
  }

  double relative(const std::vector<double>& squared) final { return block_.relative(squared); }

  void settle(const std::vector<char>& better) final {
    for (std::size_t k = 0; k < better.size(); ++k) {
      if (better[k] != 0) {
        copy_channel(candidate_, best_, k);
      } else {
        copy_channel(best_, candidate_, k);
      }
    }
  }

  LayerSolution best() const final { return best_; }

 private:
  std::vector<double> shift_of(const Tensor& weights) const {
    std::vector<double> shift = moments_.target_mean();
    const std::vector<double> mean = moments_.mean_output(weights);
    for (std::size_t k = 0; k < shift.size(); ++k) shift[k] -= site_.bias[k] + mean[k];
    return shift;
  }

  void copy_channel(const LayerSolution& from, LayerSolution& to, std::size_t k) const {
    const auto source = from.weights.data<float>();
    const auto target = to.weights.mutable_data<float>();
    for (std::int64_t xi = 0; xi < layer_.positions; ++xi) {
      const auto first = static_cast<std::ptrdiff_t>((xi * layer_.K + static_cast<std::int64_t>(k)) * layer_.C);
      std::copy_n(source.begin() + first, layer_.C, target.begin() + first);
    }
    to.shift[k] = from.shift[k];
  }

  static BlockOutput::Branches branches(const LayerSite& site, const Frontier<Tensor>& dense,
                                        const Frontier<Tensor>& pruned) {
    BlockOutput::Branches result{&dense.at(site.output), nullptr, nullptr};
    if (site.pruned.other_branch.empty()) return result;
    result.dense_other = &dense.at(site.pruned.other_branch);
    result.other = site.correct_residual ? &pruned.at(site.pruned.other_branch) : result.dense_other;
    return result;
  }

  const LayerSite& site_;
  const LinearLayer& layer_;
  const Frontier<Tensor>& pruned_;
  const Activations& input_;
  const int threads_;
  const BlockOutput block_;
  const std::vector<TileClass> tiles_;
  TileTargets targets_;
  Moments moments_;
  std::unique_ptr<Solver> solver_;
  LayerSolution candidate_, best_;
};

}  // namespace

CpuBackend::CpuBackend(const RefitOptions& options)
    : options_(options), threads_(options.threads > 0 ? options.threads : default_threads()) {}

Frontier<Tensor>::Open open_sessions(const std::string& engine, int threads) {
  runtime::SessionOptions options;
  options.backend = engine;
  options.threads = threads;
  return [options](const graph::Graph& part) -> Frontier<Tensor>::Run {
    const auto session = std::make_shared<runtime::Session>(runtime::Session::open(part, options));
    return [session](const std::vector<Tensor>& inputs) { return session->run(inputs); };
  };
}

void CpuBackend::start(const graph::Graph& dense, const graph::Graph& pruned, const std::vector<Tensor>& batches) {
  open(dense, pruned, batches, open_sessions(options_.engine, threads_));
}

ChannelStatistics CpuBackend::statistics(Side side, const std::string& value) const {
  return channel_statistics(at(side).at(value), threads_);
}

std::unique_ptr<LayerEngine> CpuBackend::layer(const LayerSite& site) {
  return std::make_unique<CpuLayer>(site, at(Side::dense), at(Side::pruned), options_, threads_);
}

}  // namespace wins::refit
