#include "layer_refit.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "moments.hpp"
#include "solver.hpp"
#include "tiles.hpp"

namespace wins::refit {
namespace {

/// Of one round: the weights it starts from are nearly right.
constexpr int kRoundIterations = 10;

/// Relative error that float32 activations have by themselves: nothing is left to mend.
constexpr double kRounding = 1e-5;

class LayerRefit {
 public:
  LayerRefit(const LayerProblem& problem, const RefitOptions& options, int threads)
      : problem_(problem),
        layer_(problem.layer),
        options_(options),
        threads_(threads),
        tiles_(sample_tiles(layer_, problem.dense, wanted_tiles(layer_, options), options.seed)),
        targets_(problem.block.linear_targets(layer_, tiles_)),
        moments_(layer_, threads),
        open_(static_cast<std::size_t>(layer_.K), 1) {}

  LayerSolution run(LayerFit& fit) {
    for (const TileClass& kind : tiles_) fit.tiles += static_cast<std::int64_t>(kind.tiles.size());
    moments_.gather(problem_.input, tiles_, targets_);
    best_ = {layer_.weights, shift_of(layer_.weights)};
    squared_ = judge(best_, false);
    fit.error_before = problem_.block.relative(squared_);
    fit.error_after = fit.error_before;
    if (fit.error_before <= kRounding) {
      fit.reason = "its output is right already";
      return std::move(best_);
    }
    const Solver solver(layer_, moments_, options_.ridge, threads_);
    fit.refitted = solver.ready();
    if (!solver.ready()) fit.reason = "its inputs or outputs do not vary";
    if (solver.ready()) improve(solver, fit);
    fit.error_after = problem_.block.relative(squared_);
    return std::move(best_);
  }

 private:
  void improve(const Solver& solver, LayerFit& fit) {
    LayerSolution candidate = best_;
    fit.iterations = solver.improve(candidate.weights, options_.max_iterations, options_.tolerance);
    const int rounds = problem_.block.clamps() ? options_.activation_rounds : 0;
    for (int round = 0;; ++round) {
      candidate.shift = shift_of(candidate.weights);
      take_better(candidate, judge(candidate, round < rounds));
      if (round == rounds || std::none_of(open_.begin(), open_.end(), [](char o) { return o != 0; })) return;
      moments_.retarget(problem_.input, tiles_, targets_);
      fit.iterations += solver.improve(candidate.weights, kRoundIterations, options_.tolerance);
    }
  }

  /// What brings the mean of the outputs to that of the targets, on the sampled tiles.
  std::vector<double> shift_of(const Tensor& weights) const {
    std::vector<double> shift = moments_.target_mean();
    const auto w = weights.data<float>();
    for (std::size_t k = 0; k < shift.size(); ++k) shift[k] -= problem_.bias[k];
    for (std::int64_t row = 0; row < layer_.positions * layer_.K; ++row) {
      const float* u = w.data() + row * layer_.C;
      const double* mean = moments_.mean().data() + row / layer_.K * layer_.C;
      double sum = 0;
      for (std::int64_t c = 0; c < layer_.C; ++c) sum += static_cast<double>(u[c]) * mean[c];
      shift[static_cast<std::size_t>(row % layer_.K)] -= sum;
    }
    return shift;
  }

  std::vector<double> judge(const LayerSolution& solution, bool retarget) {
    std::vector<double> squared(static_cast<std::size_t>(layer_.K), 0.0);
    problem_.evaluate(solution.weights, [&](std::size_t batch, const Tensor& y) {
      problem_.block.judge(batch, y, solution.shift, squared);
      if (retarget) problem_.block.retarget(batch, y, solution.shift, layer_, tiles_, targets_);
    });
    return squared;
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

  const LayerProblem& problem_;
  const LinearLayer& layer_;
  const RefitOptions& options_;
  const int threads_;
  const std::vector<TileClass> tiles_;
  TileTargets targets_;
  Moments moments_;
  LayerSolution best_;
  std::vector<double> squared_;  ///< of `best_`
  std::vector<char> open_;       ///< channels that are still getting better
};

}  // namespace

LayerSolution refit_layer(const LayerProblem& problem, const RefitOptions& options, int threads, LayerFit& fit) {
  return LayerRefit(problem, options, threads).run(fit);
}

}  // namespace wins::refit
