// WINS-AB: WINS or WINS-B for each layer, by measured time and outlook accuracy.
//
// Step 1 (pre-processing): both masks of every layer at the target ratio from the same starting
// weights, and the measured time of both networks. Step 2 (evaluation and pruning): the layers in
// the order of the time that WINS-B gains; each switch that the outlook accuracy pays for stays.
// The outlook always adapts the starting weights under the candidate's masks: no adapted weights
// are carried from one candidate to the next. Noise bounds and limits: see AbLimits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "layers.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"

namespace wins::pruning {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Times = std::map<std::string, double>;

/// Measured microseconds of one layer over the rounds.
struct Samples {
  std::vector<double> values;

  double median() const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
  double half_spread() const {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return (*high - *low) / 2;
  }
};
using Measurements = std::map<std::string, Samples>;

std::vector<std::string> winograd_layers(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const graph::Node& node : graph.nodes) {
    if (node.as<graph::WinogradConv>() != nullptr) names.push_back(node.name);
  }
  return names;
}

/// Whether earlier steps have left the positions of a layer with different numbers of units.
bool is_uneven(const graph::Graph& graph, const std::string& name) {
  const auto* conv = graph.find_node(name)->as<graph::WinogradConv>();
  if (conv == nullptr) return false;
  for (int xi = 1; xi < conv->mask.positions; ++xi) {
    if (conv->mask.kept_in(xi) != conv->mask.kept_in(0)) return true;
  }
  return false;
}

class AbWalk {
 public:
  AbWalk(const graph::Graph& start, const PruneConfig& config, const Calibration& calibration, const AbHooks& hooks,
         double tradeoff, const AbLimits& limits)
      : config_(config), hooks_(hooks), tradeoff_(tradeoff), limits_(limits), chosen_(start), balanced_(start) {
    prune_both(calibration);
  }

  std::vector<AbDecision> run() {
    measure_both();
    std::vector<AbDecision> decisions = candidates();
    for (std::size_t done = 0; done < decisions.size(); ++done) {
      decide(decisions[done]);
      if (hooks_.progress) hooks_.progress(done + 1, decisions.size());
    }
    return decisions;
  }

  /// The network as decided.
  graph::Graph take() { return std::move(chosen_); }

 private:
  void prune_both(const Calibration& calibration) {
    PruneConfig kind = config_;
    for (const std::string& layer : chosen_layers(chosen_, config_)) {
      const bool pruned = ratio_of(config_, layer) > 0;
      if (pruned) layers_.push_back(layer);
      if (pruned && is_uneven(chosen_, layer)) uneven_.push_back(layer);
      kind.method = Method::wins;
      prune_layer(chosen_, layer, kind, calibration);
      // A layer that cannot be balanced any more is WINS in both networks.
      if (uneven_.empty() || uneven_.back() != layer) kind.method = Method::wins_b;
      prune_layer(balanced_, layer, kind, calibration);
    }
    graph::remove_unused(chosen_);
    graph::remove_unused(balanced_);
  }

  void measure_into(const graph::Graph& graph, Measurements& measurements) const {
    const Times times = hooks_.measure(graph);
    for (const std::string& layer : winograd_layers(graph)) {
      const auto found = times.find(layer);
      require(found != times.end(), "WINS-AB: no time was measured for layer {}", layer);
      require(std::isfinite(found->second) && found->second >= 0, "WINS-AB: the time of layer {} is {}", layer,
              found->second);
      measurements[layer].values.push_back(found->second);
    }
  }

  /// In turn, so that a slow drift of the machine's clock meets both kinds alike.
  void measure_both() {
    for (int round = 0; round < limits_.rounds; ++round) {
      measure_into(chosen_, wins_times_);
      measure_into(balanced_, wins_b_times_);
    }
    for (const auto& [layer, samples] : wins_times_) total_us_ += samples.median();
    require(layers_.empty() || total_us_ > 0, "WINS-AB: the measured times are all 0");
  }

  std::vector<AbDecision> candidates() const {
    std::vector<AbDecision> decisions;
    for (const std::string& layer : layers_) {
      const Samples& wins = wins_times_.at(layer);
      const Samples& wins_b = wins_b_times_.at(layer);
      AbDecision decision;
      decision.layer = layer;
      decision.time_wins_us = wins.median();
      decision.time_wins_b_us = wins_b.median();
      decision.noise_us = std::max(wins.half_spread(), wins_b.half_spread());
      decision.gain = (decision.time_wins_us - decision.time_wins_b_us) / total_us_;
      decision.outlook_before = kNan;
      decision.outlook_after = kNan;
      decisions.push_back(decision);
    }
    std::stable_sort(decisions.begin(), decisions.end(),
                     [](const AbDecision& a, const AbDecision& b) { return a.gain > b.gain; });
    return decisions;
  }

  /// Why the outlook need not be asked; empty when it must.
  std::string skip_reason(const AbDecision& decision) const {
    const double gained = decision.time_wins_us - decision.time_wins_b_us;
    if (std::find(uneven_.begin(), uneven_.end(), decision.layer) != uneven_.end()) {
      return "keeps WINS: an earlier step has left its positions uneven";
    }
    if (gained <= 0) return fmt::format("keeps WINS: WINS-B is not faster ({:+.1f} us)", -gained);
    if (gained <= decision.noise_us) {
      return fmt::format("keeps WINS: gain {:.1f} us within the noise of {:.1f} us", gained, decision.noise_us);
    }
    if (limits_.max_outlooks > 0 && asked_ >= limits_.max_outlooks) {
      return fmt::format("keeps WINS: not evaluated (limit of {} evaluations)", limits_.max_outlooks);
    }
    return "";
  }

  double outlook(const graph::Graph& graph, const std::string& layer) const {
    const double accuracy = hooks_.outlook(graph);
    require(std::isfinite(accuracy), "WINS-AB: the outlook accuracy at layer {} is {}", layer, accuracy);
    return accuracy;
  }

  void decide(AbDecision& decision) {
    decision.reason = skip_reason(decision);
    if (!decision.reason.empty()) return;
    if (std::isnan(current_)) current_ = outlook(chosen_, decision.layer);
    graph::Graph candidate = chosen_;
    const graph::Node& source = *balanced_.find_node(decision.layer);
    set_weights(candidate, decision.layer, source.as<graph::WinogradConv>()->mask,
                *balanced_.constant_input(source, 1));
    decision.evaluated = true;
    decision.outlook_before = current_;
    decision.outlook_after = outlook(candidate, decision.layer);
    decision.price = decision.outlook_before - decision.outlook_after;
    ++asked_;

    const double worth = tradeoff_ * decision.gain;
    decision.balanced = decision.price <= worth;
    decision.reason = fmt::format("{}: loses {:.3f} points, {:.2f} % of the time is worth {:.3f}",
                                  decision.balanced ? "becomes WINS-B" : "keeps WINS", decision.price * 100,
                                  decision.gain * 100, worth * 100);
    if (!decision.balanced) return;
    chosen_ = std::move(candidate);
    current_ = decision.outlook_after;
  }

  const PruneConfig& config_;
  const AbHooks& hooks_;
  const double tradeoff_;
  const AbLimits& limits_;
  graph::Graph chosen_;    ///< the current choices; all WINS at first
  graph::Graph balanced_;  ///< all WINS-B
  std::vector<std::string> layers_;  ///< pruned, in graph order
  std::vector<std::string> uneven_;
  Measurements wins_times_;
  Measurements wins_b_times_;
  double total_us_ = 0;
  double current_ = kNan;  ///< outlook accuracy of `chosen_`, once asked
  std::size_t asked_ = 0;
};

}  // namespace

std::vector<AbDecision> decide_wins_ab(graph::Graph& graph, const PruneConfig& config, const Calibration& calibration,
                                       const AbHooks& hooks, double tradeoff, const AbLimits& limits) {
  require(hooks.measure && hooks.outlook, "WINS-AB needs a way to measure times and outlook accuracy");
  require(tradeoff >= 0, "WINS-AB: trade-off {} is not a number of at least 0", tradeoff);
  require(limits.rounds >= 1, "WINS-AB: {} measuring rounds", limits.rounds);
  PruneConfig both = config;
  both.method = Method::wins_ab;
  graph::Graph start = graph;
  prune_columns(start, both, calibration);  // every candidate is judged with them pruned
  AbWalk walk(start, both, calibration, hooks, tradeoff, limits);
  const std::vector<std::string> layers = chosen_layers(graph, both);
  const std::vector<AbDecision> decisions = walk.run();
  graph::Graph result = walk.take();
  record_pruning(result, both, layers);
  record_decisions(result, decisions, tradeoff);
  graph = std::move(result);
  return decisions;
}

}  // namespace wins::pruning
