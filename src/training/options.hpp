// Checks before any work, and what a resumed run must have in common with the first.
#pragma once

#include <map>
#include <string>

#include "wins/training/training.hpp"

namespace wins::training {

/// Throws `Error` naming the option that is out of range or contradicts another.
void check_options(const TrainOptions& options, bool has_teacher);

/// Throws `Error` when the data set cannot train this network: size, labels, classes, input shape.
void check_data(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                const TrainOptions& options);

/// Everything that decides the outcome of a run, as text, for the checkpoint.
std::map<std::string, std::string> fingerprint(const graph::Graph& graph, const data::Dataset& dataset,
                                               const data::Preprocess& preprocess,
                                               const TrainOptions& options, const graph::Graph* teacher);

}  // namespace wins::training
