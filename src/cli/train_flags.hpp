// Flags of everything that trains: train, finetune, prune.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "common.hpp"
#include "wins/training/training.hpp"

namespace wins::cli {

struct TrainFlags {
  training::TrainOptions options;
  std::string labels = "use";   ///< "use" or "none" (distillation alone)
  std::string augment;          ///< comma list: flip, crop=N, cutout=N, resized=AREA
  std::string teacher;          ///< dense model for distillation
};

/// Reads "flip,crop=PIXELS,cutout=PIXELS,resized=AREA". Throws `UsageError` naming `flag`.
data::Augment parse_augment(const std::string& flag, const std::string& text);

/// Adds the flags; the values in `flags` are the defaults that help shows.
void add_train_flags(CLI::App& app, TrainFlags& flags);

/// Options ready for training::train; throws `UsageError` naming a flag that contradicts another.
training::TrainOptions resolve(const TrainFlags& flags, const Common& common, bool has_teacher);

/// Trains behind a progress bar, printing one line an epoch (unless quiet).
training::TrainResult train_with_progress(const std::string& label, const graph::Graph& graph,
                                          const data::Dataset& dataset, const data::Preprocess& preprocess,
                                          const training::TrainOptions& options, const graph::Graph* teacher);

/// Epoch records as JSON.
Json to_json(const std::vector<training::EpochLog>& epochs);

}  // namespace wins::cli
