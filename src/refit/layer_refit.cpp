#include "layer_refit.hpp"

#include <algorithm>

namespace wins::refit {
namespace {

/// Of one round: the weights it starts from are nearly right.
constexpr int kRoundIterations = 10;

/// Relative error that float32 activations have by themselves: nothing is left to mend.
constexpr double kRounding = 1e-5;

class LayerRefit {
 public:
  LayerRefit(const LayerSite& site, LayerEngine& engine, const RefitOptions& options)
      : site_(site), engine_(engine), options_(options), open_(static_cast<std::size_t>(site.layer.K), 1) {}

  LayerSolution run(LayerFit& fit) {
    fit.tiles = engine_.gather();
    squared_ = engine_.judge(false);
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
    return engine_.best();
  }

 private:
  void improve(LayerFit& fit) {
    fit.iterations = engine_.improve(options_.max_iterations, options_.tolerance);
    const int rounds = site_.pruned.clamps() ? options_.activation_rounds : 0;
    for (int round = 0;; ++round) {
      take_better(engine_.judge(round < rounds));
      if (round == rounds || std::none_of(open_.begin(), open_.end(), [](char o) { return o != 0; })) return;
      engine_.regather_targets();
      fit.iterations += engine_.improve(kRoundIterations, options_.tolerance);
    }
  }

  /// Channels that became worse are closed: their targets belong to the worse weights.
  void take_better(const std::vector<double>& squared) {
    for (std::size_t k = 0; k < open_.size(); ++k) {
      if (open_[k] != 0 && squared[k] <= squared_[k]) {
        squared_[k] = squared[k];
      } else {
        open_[k] = 0;
      }
    }
    engine_.settle(open_);
  }

  const LayerSite& site_;
  LayerEngine& engine_;
  const RefitOptions& options_;
  std::vector<double> squared_;  ///< of the best solution
  std::vector<char> open_;       ///< channels that are still getting better
};

}  // namespace

LayerSolution refit_layer(const LayerSite& site, LayerEngine& engine, const RefitOptions& options, LayerFit& fit) {
  return LayerRefit(site, engine, options).run(fit);
}

}  // namespace wins::refit
