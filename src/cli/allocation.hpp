// --allocate: a ratio for each layer, from error curves and sensitivities.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "prune_flags.hpp"
#include "wins/refit/allocation.hpp"
#include "workflow.hpp"

namespace wins::cli {

/// Measures (or reads, --curves) curves and sensitivities, and costs, once; then gives the ratios for any overall ratio.
class Allocator {
 public:
  /// The job's own `layer_ratio` and `exclude` are kept and out of the allocation. Throws `Error` when nothing is
  /// left to allocate.
  Allocator(const graph::Graph& dense, const PruneJob& job, const PruneFlags& flags);

  /// Puts `ratio` and each layer's own ratio into `config`. Throws `Error` when the bounds do not allow it.
  void apply(double ratio, pruning::PruneConfig& config) const;
  /// The largest ratio that `apply` takes.
  double largest() const;

  /// What `apply` chooses at `ratio`, as a table for people, and as JSON.
  std::string table(double ratio) const;
  Json to_json(double ratio) const;

 private:
  std::vector<refit::LayerCurve> measure(const graph::Graph& dense, const PruneJob& job) const;
  void measure_costs(const graph::Graph& dense, const PruneJob& job);

  std::string kind_;  ///< what a cost is: "multiplications" or "time"
  refit::RatioBounds bounds_;
  double reference_;                         ///< ratio at which layers are timed
  double seconds_ = 0;                       ///< that the measuring took
  std::map<std::string, double> fixed_;      ///< ratios that the user gave
  std::vector<std::string> layers_;          ///< free to choose
  std::vector<refit::LayerCurve> curves_;
  std::map<std::string, double> cost_;       ///< multiply-adds, or microseconds
};

/// Multiply-adds pruned / multiply-adds of the unpruned sub-GEMMs, over the Winograd layers at the default input shape.
double pruned_multiplications(const graph::Graph& graph);

}  // namespace wins::cli
