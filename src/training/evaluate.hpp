// Scoring a network on a data set, and re-estimating its batch norm statistics.
#pragma once

#include <cstdint>

#include "network.hpp"
#include "wins/data/loader.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

/// What a run reads besides the network.
struct Source {
  const data::Dataset& dataset;
  const data::Preprocess& preprocess;
  int threads = 1;
};

/// Images on the network's device; labels as an int64 tensor, undefined when `use_labels` is off.
struct DeviceBatch {
  at::Tensor images, labels;
};
DeviceBatch to_device(const data::Batch& batch, at::Device device, bool use_labels);

struct Score {
  double accuracy = 0;  ///< NaN for networks that do not classify
  double loss = 0;
  /// Larger is better: accuracy, or -loss without it.
  double value() const;
};
/// Inference mode over the whole data set. `teacher` may be null.
Score evaluate(Network& network, Network* teacher, const Source& source, const TrainOptions& options);

/// Mean and variance of every batch norm as the average over `options.recalibrate_batches` batches.
void recalibrate(Network& network, const Source& source, const TrainOptions& options);

}  // namespace wins::training
