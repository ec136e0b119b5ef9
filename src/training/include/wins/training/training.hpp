// Dense training and fine-tuning in the Winograd domain; the Graph itself runs in libtorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "wins/data/loader.hpp"
#include "wins/graph/graph.hpp"
#include "wins/refit/refit.hpp"

namespace wins::training {

/// False in a build without libtorch; every function below then throws `Error` saying so.
bool available();

struct TrainOptions {
  std::string device = "cpu";  ///< "cpu" or "cuda"
  int threads = 0;
  double epochs = 1;           ///< fractions allowed; ends after round(epochs * batches) steps
  std::int64_t max_steps = 0;  ///< > 0: overrides epochs
  std::int64_t batch_size = 128;
  std::string optimizer = "sgd";   ///< "sgd" (Nesterov) or "adamw"
  double learning_rate = 0.1;
  double final_learning_rate = 0;   ///< cosine ends here
  double momentum = 0.9;            ///< Nesterov; AdamW's beta1
  double weight_decay = 5e-4;       ///< not applied to batch norm and biases
  double warmup_epochs = 0;
  double label_smoothing = 0;
  /// Distillation (Hinton et al. 2015): weight of the teacher's term and temperature.
  double distill_weight = 0;
  double distill_temperature = 4;
  /// Weight of the distance to the teacher's inner activations (hints: Romero et al., FitNets, 2015); the shapes
  /// of a pruned layer never change, so every activation has its counterpart. 0 = none.
  double hint_weight = 0;
  bool use_labels = true;  ///< false: distillation alone (mean squared error for non-classifiers)
  /// Batches for re-estimating batch norm statistics before training starts and after it ends.
  std::int64_t recalibrate_batches = 0;
  double held_out = 0;     ///< share of the training data for early stopping and outlook accuracy
  std::int64_t patience = 0;  ///< epochs without improvement before stopping; 0 = never
  std::uint64_t seed = 0;
  bool amp = false;        ///< bf16 autocast, cuda only
  data::Augment augment;
  /// Checkpoint written atomically every `checkpoint_steps` steps; empty path = none.
  std::filesystem::path checkpoint;
  std::int64_t checkpoint_steps = 200;
  bool resume = false;
};

struct EpochLog {
  double epoch = 0;
  double loss = 0;
  double accuracy = 0;           ///< on the batches seen
  double held_out_accuracy = 0;  ///< NaN without a held-out split
  double learning_rate = 0;
  double seconds = 0;
};

struct TrainResult {
  graph::Graph graph;  ///< same nodes, new weights
  std::vector<EpochLog> epochs;
  double held_out_accuracy = 0;  ///< of the returned weights; NaN without a held-out split
};

/// Called after each step: (steps done, steps in all, loss).
using StepCallback = std::function<void(std::int64_t, std::int64_t, double)>;

/// Trains every float weight of `graph`: Conv, Gemm, BatchNorm, and U of WinogradConv under its
/// mask. `teacher` is the dense network for distillation. Deterministic on the same thread count.
TrainResult train(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                  const TrainOptions& options, const graph::Graph* teacher = nullptr, const StepCallback& on_step = {});

/// Re-estimates mean and variance of every BatchNorm node from `batches` batches.
graph::Graph recalibrate_batch_norm(const graph::Graph& graph, const data::Dataset& dataset,
                                    const data::Preprocess& preprocess, const TrainOptions& options);

/// Forward through libtorch, inference mode; the test oracle for the training path.
std::vector<Tensor> forward(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                            const std::string& device = "cpu");

/// The same for many runs: the weights go to the device once.
using Forward = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
Forward open_forward(const graph::Graph& graph, const std::string& device);

/// Throws `Error` saying what is missing when libtorch cannot compute on "cpu" or "cuda" here.
void check_device(const std::string& device);

/// refit::refit through libtorch, on "cpu" or "cuda": the same layers, targets and rounds; tiles are drawn once for
/// all pictures. Throws `Error` as that does, and when the device's memory does not suffice.
refit::RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                         const refit::RefitOptions& options, const std::string& device);

}  // namespace wins::training
