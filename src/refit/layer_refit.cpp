#include "layer_refit.hpp"

#include <algorithm>
#include <utility>

namespace wins::refit {
namespace {

/// Of one round: the weights it starts from are nearly right.
constexpr int kRoundIterations = 10;

/// Relative error that float32 activations have by themselves: nothing is left to mend.
constexpr double kRounding = 1e-5;

class LayerRefit {
 public:
  LayerRefit(const LayerSite& site, LayerEngine& engine, const RefitOptions& options)
      : site_(site),
        layer_(site.layer),
        engine_(engine),
        options_(options),
        open_(static_cast<std::size_t>(layer_.K), 1) {}

  LayerSolution run(LayerFit& fit) {
    fit.tiles = engine_.gather();
    best_ = {layer_.weights, engine_.shift_of(layer_.weights)};
    squared_ = engine_.judge(best_, false);
    fit.error_before = fit.error_after = engine_.relative(squared_);
    if (fit.error_before <= kRounding) {
      fit.reason = "its output is right already";
    } else if (!engine_.prepare(options_.ridge)) {
      fit.reason = "its inputs or outputs do not vary";
    } else {
      fit.refitted = true;
      improve(fit);
      fit.error_after = engine_.relative(squared_);
    }
    return std::move(best_);
  }

 private:
  void improve(LayerFit& fit) {
    LayerSolution candidate = best_;
    fit.iterations = engine_.improve(candidate.weights, options_.max_iterations, options_.tolerance);
    const int rounds = site_.pruned.clamps() ? options_.activation_rounds : 0;
    for (int round = 0;; ++round) {
      candidate.shift = engine_.shift_of(candidate.weights);
      take_better(candidate, engine_.judge(candidate, round < rounds));
      if (round == rounds || std::none_of(open_.begin(), open_.end(), [](char o) { return o != 0; })) return;
      engine_.regather_targets();
      fit.iterations += engine_.improve(candidate.weights, kRoundIterations, options_.tolerance);
    }
  }

  /// Channels that became worse are closed: their targets belong to the worse weights.
  void take_better(LayerSolution& candidate, const std::vector<double>& squared) {
    for (std::int64_t k = 0; k < layer_.K; ++k) {
      const auto at = static_cast<std::size_t>(k);
      if (open_[at] != 0 && squared[at] <= squared_[at]) {
        copy_channel(candidate.weights, best_.weights, k);
        best_.shift[at] = candidate.shift[at];
        squared_[at] = squared[at];
      } else {
        open_[at] = 0;
        copy_channel(best_.weights, candidate.weights, k);
      }
    }
  }

  void copy_channel(const Tensor& from, Tensor& to, std::int64_t k) const {
    const auto source = from.data<float>();
    const auto target = to.mutable_data<float>();
    for (std::int64_t xi = 0; xi < layer_.positions; ++xi) {
      const auto first = static_cast<std::ptrdiff_t>((xi * layer_.K + k) * layer_.C);
      std::copy_n(source.begin() + first, layer_.C, target.begin() + first);
    }
  }

  const LayerSite& site_;
  const LinearLayer& layer_;
  LayerEngine& engine_;
  const RefitOptions& options_;
  LayerSolution best_;
  std::vector<double> squared_;  ///< of `best_`
  std::vector<char> open_;       ///< channels that are still getting better
};

}  // namespace

LayerSolution refit_layer(const LayerSite& site, LayerEngine& engine, const RefitOptions& options, LayerFit& fit) {
  return LayerRefit(site, engine, options).run(fit);
}

}  // namespace wins::refit
