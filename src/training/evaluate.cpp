#include "evaluate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "device.hpp"
#include "loss.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"

namespace wins::training {
namespace {

/// Epoch number of the batches that only measure: no training epoch has it.
constexpr std::int64_t kMeasureEpoch = std::int64_t{1} << 40;

}  // namespace

DeviceBatch to_device(const data::Batch& batch, at::Device device, bool use_labels) {
  DeviceBatch result;
  result.images = to_torch(batch.images, device);
  if (use_labels) result.labels = at::tensor(batch.labels, at::kLong).to(device);
  return result;
}

double Score::value() const {
  return std::isnan(accuracy) ? -loss : accuracy;
}

Score evaluate(Network& network, Network* teacher, const Source& source, const TrainOptions& options) {
  const at::NoGradGuard guard;
  data::LoaderOptions order;
  order.batch_size = options.batch_size;
  order.threads = source.threads;
  data::Loader loader(source.dataset, source.preprocess, order);
  data::Batch batch;
  double correct = 0, loss = 0;
  std::int64_t seen = 0;
  bool scored = true;
  while (loader.next(batch)) {
    const DeviceBatch input = to_device(batch, network.device(), options.use_labels);
    const std::vector<at::Tensor> wanted =
        teacher != nullptr ? teacher->logits({input.images}, Run{}) : std::vector<at::Tensor>{};
    const Loss result = compute_loss(options, network.logits({input.images}, Run{}), input.labels, wanted);
    const std::int64_t count = input.images.size(0);
    seen += count;
    loss += result.value.item<double>() * static_cast<double>(count);
    scored = scored && result.correct.defined();
    if (scored) correct += result.correct.item<double>();
  }
  require(seen > 0, "no picture of the held-out data could be read");
  const auto total = static_cast<double>(seen);
  return {scored ? correct / total : std::numeric_limits<double>::quiet_NaN(), loss / total};
}

void recalibrate(Network& network, const Source& source, const TrainOptions& options) {
  if (options.recalibrate_batches <= 0 || network.statistics().empty()) return;
  const at::NoGradGuard guard;
  data::LoaderOptions order;
  order.batch_size = options.batch_size;
  order.shuffle = true;
  order.drop_last = true;
  order.seed = options.seed;
  order.epoch = kMeasureEpoch;
  order.threads = source.threads;
  order.augment = options.augment;
  data::Loader loader(source.dataset, source.preprocess, order);
  data::Batch batch;
  Run run;
  run.mode = Mode::statistics;
  for (std::int64_t i = 0; i < options.recalibrate_batches && loader.next(batch); ++i) {
    run.statistics_weight = 1.0 / static_cast<double>(i + 1);
    network.run({to_device(batch, network.device(), false).images}, run);
  }
}

graph::Graph recalibrate_batch_norm(const graph::Graph& graph, const data::Dataset& dataset,
                                    const data::Preprocess& preprocess, const TrainOptions& options) {
  const at::Device device = open_device(options.device);
  const int threads = use_threads(options.threads);
  require(options.recalibrate_batches > 0, "recalibration needs at least one batch");
  require(graph.inputs.size() == 1, "graph '{}' has {} inputs, recalibration feeds one", graph.name,
          graph.inputs.size());
  Network network(graph, device, false);
  recalibrate(network, {dataset, preprocess, threads}, options);
  return network.graph();
}

}  // namespace wins::training
