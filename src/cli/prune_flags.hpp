// Flags that say what to prune and how much.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "workflow.hpp"

namespace wins::cli {

/// Largest ratio of a layer that is chosen for the user.
constexpr double kMaxRatio = 0.95;

struct PruneFlags {
  std::string method = "wins-ab";
  std::string criterion = "auto";   ///< l2 for wins-b, output-aware for the others
  std::string axis = "row";
  std::string m = "2";
  bool strided = false;              ///< also 3x3 convolutions of stride 2
  std::string backend = "cpu";
  double ratio = 0.5;
  std::optional<double> bcbp;        ///< ratio of the 1x1 convolutions; none: they stay
  std::int64_t bcbp_block = 16;      ///< output channels of a block
  bool bcbp_uneven = false;
  std::vector<std::string> layer;    ///< NAME=RATIO
  std::vector<std::string> exclude;
  double min_layer = 0, min_position = 0;
  std::int64_t round_to = 1;
  int steps = 1;
  double tradeoff = 0.02;
  int outlook_steps = 0;            ///< 0: a refit is the outlook
  std::int64_t timing_batch = 1;
  std::int64_t calibration = 1024;   ///< pictures
  std::string calibration_augment;   ///< comma list as of --augment; empty: as they are
  std::vector<double> sensitivity;   ///< ratios to try layer by layer
  std::string allocate = "uniform";  ///< or by what cost each layer gets a ratio of its own
  std::string curves;                ///< record of an earlier --allocate; empty: measure
  std::optional<double> max_ratio;   ///< kMaxRatio when not given
  std::optional<double> max_loss;    ///< points: the ratio is searched
};

void add_prune_flags(CLI::App& app, PruneFlags& flags);

/// Everything but data and calibration. Throws `UsageError` naming a flag that does not parse.
PruneJob make_prune_job(const PruneFlags& flags, const Common& common);

/// Throws `Error` naming the --bcbp flag that `dense` does not allow; before work is spent.
void check_columns(const graph::Graph& dense, const PruneJob& job);

/// Fills `job.pictures` (without those held out) when the criterion or the refit needs them, and
/// `job.calibration` for the criterion; a criterion that needs pictures throws `UsageError` without them. Layers
/// that a criterion could not score as asked are told on stderr.
void calibrate_job(const PruneFlags& flags, const Common& common, const graph::Graph& dense, PruneJob& job);

}  // namespace wins::cli
