// The steps that several verbs share: evaluate, calibrate, prune by any method.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common.hpp"
#include "evaluation.hpp"
#include "train_flags.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/pruning/statistics.hpp"
#include "wins/refit/refit.hpp"

namespace wins::cli {

/// `pictures` preprocessed pictures in batches of at most 64, in an order that `seed` draws; the first `skip` of
/// that order are left out (rounded up to whole batches). With `augment` each is changed at random, and where there are
/// fewer, they come several times.
std::vector<Tensor> calibration_batches(const data::Dataset& dataset, const data::Preprocess& preprocess,
                                        std::int64_t pictures, std::uint64_t seed, std::int64_t skip = 0,
                                        const std::optional<data::Augment>& augment = std::nullopt);

/// The first batches that hold `count` pictures, or all.
std::vector<Tensor> first_pictures(const std::vector<Tensor>& batches, std::int64_t count);

/// Median microseconds of each WinogradConv layer on a backend at this input shape.
std::map<std::string, double> measure_layers(const graph::Graph& graph, const runtime::SessionOptions& options,
                                             const std::vector<Shape>& shapes, int rounds);

/// Everything that pruning one network needs beside the network.
struct PruneJob {
  pruning::PruneConfig config;
  pruning::Calibration calibration;
  double tradeoff = 0.02;
  int outlook_steps = 0;
  int timing_rounds = 20;
  std::int64_t timing_batch = 1;
  runtime::SessionOptions session;
  training::TrainOptions outlook;  ///< how the short adaptation trains
  const data::Dataset* dataset = nullptr;
  data::Preprocess preprocess;
  std::vector<Tensor> pictures;               ///< for calibration and refit, in batches
  std::optional<refit::RefitOptions> refit;   ///< with pictures: refit what is left
  std::string refit_checkpoint;               ///< file; empty: none
  std::size_t memory_limit = 0;               ///< bytes for activations and statistics; 0 = none
};

struct Pruned {
  graph::Graph graph;
  std::vector<pruning::AbDecision> decisions;  ///< WINS-AB only
  std::vector<refit::LayerFit> fits;           ///< empty without refit
  std::int64_t fit_pictures = 0;
};

/// Prunes a copy of `start` (the dense network, or one pruned in an earlier step) and refits it to `dense`. WINS-AB
/// measures times on the job's backend; each outlook accuracy is taken after a refit or, with `outlook_steps` above 0 in
/// a build with libtorch, after so many iterations of training with `dense` as teacher.
Pruned prune_network(const graph::Graph& start, const graph::Graph& dense, const PruneJob& job);

/// A network on the job's device.
Forward open_forward(const graph::Graph& graph, const PruneJob& job);

/// A refit on the job's device: the GPU through libtorch, else the CPU with the project's own engine.
refit::RefitResult refit_on_device(const graph::Graph& pruned, const graph::Graph& dense,
                                   const std::vector<Tensor>& pictures, const refit::RefitOptions& options,
                                   const PruneJob& job);

/// Concrete shapes for every input at this batch, spatial extents from `preprocess` or 224.
std::vector<Shape> input_shapes(const graph::Graph& graph, std::int64_t batch);

/// Normal random input for every shape. Throws `Error` naming `model_name` and the input when
/// this machine's memory cannot hold it.
std::vector<Tensor> random_inputs(const graph::Graph& graph, const std::string& model_name,
                                  const std::vector<Shape>& shapes, std::uint64_t seed);

/// Pruning ratio and pruned FLOPs of a network at its default input shape.
struct Ratios {
  double pruning_ratio = 0;
  double pruned_flops = 0;
};
Ratios count_ratios(const graph::Graph& graph);

/// Rows kept per position for every WinogradConv, with kernel and time of each layer of a plan.
Json layers_to_json(const graph::Graph& graph, const runtime::Plan& plan);
/// Rows kept per position for every WinogradConv, without times.
Json kept_layers_to_json(const graph::Graph& graph);
/// "13", or "9 to 17" where blocks keep different numbers.
std::string kept_columns_text(const pruning::ColumnRow& row);
/// `record["bcbp"]`: ratio, block and kept columns by block of the 1x1 convolutions that BCBP has pruned; nothing without any.
void add_columns(const graph::Graph& graph, Json& record);
Json to_json(const std::vector<pruning::AbDecision>& decisions);
/// The decisions as a table for people.
std::string decision_table(const std::vector<pruning::AbDecision>& decisions);

}  // namespace wins::cli
