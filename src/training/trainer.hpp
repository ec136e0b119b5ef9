// One training run: its state, its steps, its checkpoints.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint.hpp"
#include "evaluate.hpp"
#include "loss.hpp"
#include "optimizer.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

class Trainer {
 public:
  Trainer(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
          const TrainOptions& options, const graph::Graph* teacher);

  TrainResult run(const StepCallback& on_step);

 private:
  /// Everything besides tensors that a resumed run continues with.
  struct Progress {
    std::int64_t step = 0;
    double loss_sum = 0, correct = 0, seen = 0, seconds = 0;  ///< of the epoch so far
    double best = 0;                                          ///< score of the best weights
    std::int64_t epochs_since_best = 0;
    bool has_best = false, stopped = false;
    std::vector<EpochLog> logs;
  };

  void plan_steps();
  void train_epoch(const StepCallback& on_step);
  double train_step(const data::Batch& batch);
  Loss loss_of(std::vector<at::Tensor> outputs, const at::Tensor& labels, std::vector<at::Tensor> wanted) const;
  void end_epoch();
  /// Keeps the weights when they score best; stops after `patience` epochs without.
  void watch(double score);
  TrainResult finish();

  void save();
  void load(const Checkpoint& checkpoint);
  /// Every tensor that training changes, by the name it has in a checkpoint.
  std::map<std::string, at::Tensor> state_tensors();
  std::map<std::string, at::Tensor> best_tensors() const;

  TrainOptions options_;
  std::optional<data::Split> split_;
  std::unique_ptr<data::Subset> kept_, held_out_;
  const data::Dataset& dataset_;
  const data::Preprocess& preprocess_;
  int threads_ = 1;
  std::unique_ptr<Network> network_, teacher_;
  std::unique_ptr<Optimizer> optimizer_;
  Schedule schedule_;
  std::int64_t steps_per_epoch_ = 1;
  std::map<std::string, std::string> fingerprint_;
  std::map<std::string, at::Tensor> best_;
  Progress progress_;
  std::chrono::steady_clock::time_point clock_;
};

}  // namespace wins::training
