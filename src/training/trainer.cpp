#include "trainer.hpp"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "device.hpp"
#include "hints.hpp"
#include "options.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"

namespace wins::training {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// bf16 autocast on CUDA while alive.
class Autocast {
 public:
  explicit Autocast(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCUDA, true);
  }
  ~Autocast() {
    if (!on_) return;
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCUDA, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool on_;
};

}  // namespace

Trainer::Trainer(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                 const TrainOptions& options, const graph::Graph* teacher)
    : options_(options), dataset_(dataset), preprocess_(preprocess) {
  check_options(options_, teacher != nullptr);
  check_data(graph, dataset, preprocess, options_);
  const at::Device device = open_device(options_.device);
  threads_ = use_threads(options_.threads);
  if (options_.held_out > 0) {
    split_ = data::hold_out(dataset, options_.held_out, options_.seed);
    require(!split_->kept.empty() && !split_->held_out.empty(),
            "--held-out {}: {} pictures are too few to split", options_.held_out, dataset.size());
    kept_ = std::make_unique<data::Subset>(dataset, split_->kept);
    held_out_ = std::make_unique<data::Subset>(dataset, split_->held_out);
  }
  // A teacher without weight in the loss would only cost time.
  const bool teaches = teacher != nullptr && (options_.distill_weight > 0 || options_.hint_weight > 0 || !options_.use_labels);
  fingerprint_ = fingerprint(graph, dataset, preprocess, options_, teaches ? teacher : nullptr);
  graph::Graph folded;
  std::vector<std::string> hints;
  if (teaches) {
    folded = *teacher;
    graph::optimize_for_inference(folded);
    if (options_.hint_weight > 0) hints = hint_values(graph, folded);
  }
  network_ = std::make_unique<Network>(graph, device, true, hints);
  require(!network_->parameters().empty(), "graph '{}' has no weights to train", graph.name);
  if (teaches) {
    teacher_ = std::make_unique<Network>(std::move(folded), device, false, hints);
  }
  optimizer_ = make_optimizer(options_.optimizer, network_->parameters(), options_.momentum, options_.weight_decay);
  plan_steps();
}

void Trainer::plan_steps() {
  const std::size_t size = kept_ ? kept_->size() : dataset_.size();
  options_.batch_size = std::min<std::int64_t>(options_.batch_size, static_cast<std::int64_t>(size));
  steps_per_epoch_ = static_cast<std::int64_t>(size) / options_.batch_size;
  const auto steps_of = [&](double epochs) {
    return static_cast<std::int64_t>(std::llround(epochs * static_cast<double>(steps_per_epoch_)));
  };
  schedule_.peak = options_.learning_rate;
  schedule_.final = options_.final_learning_rate;
  schedule_.steps = options_.max_steps > 0 ? options_.max_steps : steps_of(options_.epochs);
  schedule_.warmup_steps = std::min(steps_of(options_.warmup_epochs), schedule_.steps);
}

TrainResult Trainer::run(const StepCallback& on_step) {
  std::error_code ignored;
  if (options_.resume && std::filesystem::exists(options_.checkpoint, ignored)) {
    load(load_checkpoint(options_.checkpoint));
  } else {
    // A run that was killed before its first checkpoint starts again.
    recalibrate(*network_, {kept_ ? *kept_ : dataset_, preprocess_, threads_}, options_);
  }
  while (progress_.step < schedule_.steps && !progress_.stopped) train_epoch(on_step);
  return finish();
}

void Trainer::train_epoch(const StepCallback& on_step) {
  data::LoaderOptions order;
  order.batch_size = options_.batch_size;
  order.shuffle = true;
  order.drop_last = true;
  order.seed = options_.seed;
  order.epoch = progress_.step / steps_per_epoch_;
  order.first_batch = progress_.step % steps_per_epoch_;
  order.threads = threads_;
  order.augment = options_.augment;
  data::Loader loader(kept_ ? *kept_ : dataset_, preprocess_, order);
  data::Batch batch;
  clock_ = std::chrono::steady_clock::now();
  const std::int64_t end = std::min(schedule_.steps, (order.epoch + 1) * steps_per_epoch_);
  while (progress_.step < end) {
    require(loader.next(batch), "the data set ended in the middle of an epoch: too many broken pictures");
    const double loss = train_step(batch);
    ++progress_.step;
    if (progress_.step == end) end_epoch();
    if (on_step) on_step(progress_.step, schedule_.steps, loss);
    const bool last = progress_.step == schedule_.steps || progress_.stopped;
    if (!options_.checkpoint.empty() && (last || progress_.step % options_.checkpoint_steps == 0)) save();
  }
}

double Trainer::train_step(const data::Batch& batch) {
  try {
    const DeviceBatch input = to_device(batch, network_->device(), options_.use_labels);
    std::vector<at::Tensor> wanted;
    Loss loss;
    {
      const Autocast autocast(options_.amp);
      if (teacher_) {
        const at::NoGradGuard guard;
        wanted = teacher_->logits_and_hints({input.images}, Run{});
      }
      Run how;
      how.mode = Mode::training;
      loss = loss_of(network_->logits_and_hints({input.images}, how), input.labels, std::move(wanted));
    }
    torch::autograd::backward({loss.value}, {});
    const auto value = loss.value.item<double>();
    require(std::isfinite(value), "step {}: the loss is {}; lower --lr", progress_.step + 1, value);
    optimizer_->step(schedule_.rate(progress_.step), progress_.step);
    progress_.loss_sum += value * static_cast<double>(input.images.size(0));
    progress_.seen += static_cast<double>(input.images.size(0));
    progress_.correct += loss.correct.defined() ? loss.correct.item<double>() : kNaN;
    return value;
  } catch (const c10::Error& error) {
    fail("step {}: {}", progress_.step + 1, libtorch_message(error));
  }
}

/// Of outputs that the hints follow.
Loss Trainer::loss_of(std::vector<at::Tensor> outputs, const at::Tensor& labels, std::vector<at::Tensor> wanted) const {
  const std::size_t count = network_->outputs();
  at::Tensor distance;
  if (outputs.size() > count) {
    distance = hint_distance(std::span(outputs).subspan(count), std::span(wanted).subspan(count));
    outputs.resize(count);
    wanted.resize(count);
  }
  Loss loss = compute_loss(options_, outputs, labels, wanted);
  if (distance.defined()) loss.value = loss.value + distance * options_.hint_weight;
  return loss;
}

void Trainer::end_epoch() {
  EpochLog log;
  log.epoch = static_cast<double>(progress_.step) / static_cast<double>(steps_per_epoch_);
  log.loss = progress_.loss_sum / progress_.seen;
  log.accuracy = progress_.correct / progress_.seen;
  log.learning_rate = schedule_.rate(progress_.step - 1);
  log.held_out_accuracy = kNaN;
  if (held_out_) {
    const Score score = evaluate(*network_, teacher_.get(), {*held_out_, preprocess_, threads_}, options_);
    log.held_out_accuracy = score.accuracy;
    if (options_.patience > 0) watch(score.value());
  }
  log.seconds =
      progress_.seconds + std::chrono::duration<double>(std::chrono::steady_clock::now() - clock_).count();
  progress_.logs.push_back(log);
  progress_.loss_sum = progress_.correct = progress_.seen = progress_.seconds = 0;
}

void Trainer::watch(double score) {
  if (!progress_.has_best || score > progress_.best) {
    progress_.has_best = true;
    progress_.best = score;
    progress_.epochs_since_best = 0;
    best_ = best_tensors();
  } else if (++progress_.epochs_since_best >= options_.patience) {
    progress_.stopped = true;
  }
}

std::map<std::string, at::Tensor> Trainer::best_tensors() const {
  std::map<std::string, at::Tensor> copies;
  for (const Parameter& parameter : network_->parameters()) {
    copies["weight/" + parameter.name] = parameter.value.detach().clone();
  }
  for (const auto& [name, value] : network_->statistics()) copies["statistic/" + name] = value.clone();
  return copies;
}

TrainResult Trainer::finish() {
  const at::NoGradGuard guard;
  if (progress_.has_best) {
    auto state = state_tensors();
    for (const auto& [name, value] : best_) state.at(name).copy_(value);
  }
  if (schedule_.steps > 0)
    recalibrate(*network_, {kept_ ? *kept_ : dataset_, preprocess_, threads_}, options_);
  TrainResult result;
  result.held_out_accuracy = kNaN;
  if (held_out_) {
    result.held_out_accuracy =
        evaluate(*network_, teacher_.get(), {*held_out_, preprocess_, threads_}, options_).accuracy;
  }
  result.epochs = progress_.logs;
  result.graph = network_->graph();
  return result;
}

std::map<std::string, at::Tensor> Trainer::state_tensors() {
  std::map<std::string, at::Tensor> tensors;
  std::vector<Parameter>& parameters = network_->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    tensors["weight/" + parameters[i].name] = parameters[i].value;
    for (const auto& [moment, values] : optimizer_->moments()) {
      tensors["moment/" + moment + "/" + parameters[i].name] = (*values)[i];
    }
  }
  for (const auto& [name, value] : network_->statistics()) tensors["statistic/" + name] = value;
  return tensors;
}

void Trainer::save() {
  Checkpoint checkpoint;
  checkpoint.options = fingerprint_;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - clock_).count();
  checkpoint.numbers = {
      {"step", static_cast<double>(progress_.step)},
      {"loss sum", progress_.loss_sum},
      {"correct", progress_.correct},
      {"seen", progress_.seen},
      {"seconds", progress_.seen > 0 ? progress_.seconds + seconds : 0},
      {"best", progress_.best},
      {"epochs since best", static_cast<double>(progress_.epochs_since_best)},
      {"has best", progress_.has_best ? 1.0 : 0.0},
      {"stopped", progress_.stopped ? 1.0 : 0.0},
  };
  std::vector<double> logs;
  for (const EpochLog& log : progress_.logs) {
    logs.insert(logs.end(),
                {log.epoch, log.loss, log.accuracy, log.held_out_accuracy, log.learning_rate, log.seconds});
  }
  checkpoint.tensors["logs"] =
      Tensor::of<double>({static_cast<std::int64_t>(progress_.logs.size()), 6}, logs);
  for (const auto& [name, tensor] : state_tensors()) checkpoint.tensors[name] = from_torch(tensor);
  for (const auto& [name, tensor] : best_) checkpoint.tensors["best/" + name] = from_torch(tensor);
  save_checkpoint(checkpoint, options_.checkpoint);
}

void Trainer::load(const Checkpoint& checkpoint) {
  const at::NoGradGuard guard;
  const std::string path = options_.checkpoint.string();
  require_same_options(checkpoint, fingerprint_, options_.checkpoint);
  const auto number = [&](const std::string& name) {
    const auto found = checkpoint.numbers.find(name);
    require(found != checkpoint.numbers.end(), "{}: checkpoint without '{}'", path, name);
    return found->second;
  };
  const auto tensor = [&](const std::string& name, const Shape& shape, DType type) {
    const auto found = checkpoint.tensors.find(name);
    const bool fits =
        found != checkpoint.tensors.end() && found->second.shape() == shape && found->second.dtype() == type;
    require(fits, "{}: checkpoint without a fitting tensor '{}'", path, name);
    return found->second;
  };
  const double step = number("step");
  require(step >= 0 && step <= static_cast<double>(schedule_.steps) && step == std::floor(step),
          "{}: checkpoint of step {}, the run has {}", path, step, schedule_.steps);
  progress_.step = static_cast<std::int64_t>(step);
  progress_.loss_sum = number("loss sum");
  progress_.correct = number("correct");
  progress_.seen = number("seen");
  progress_.seconds = number("seconds");
  progress_.best = number("best");
  progress_.epochs_since_best = static_cast<std::int64_t>(number("epochs since best"));
  progress_.has_best = number("has best") != 0;
  progress_.stopped = number("stopped") != 0;
  for (const auto& [name, target] : state_tensors()) {
    const Shape shape(target.sizes().begin(), target.sizes().end());
    target.copy_(to_torch(tensor(name, shape, DType::f32), target.device()));
    if (!progress_.has_best || name.starts_with("moment/")) continue;
    best_[name] = to_torch(tensor("best/" + name, shape, DType::f32), target.device());
  }
  const auto logs = checkpoint.tensors.find("logs");
  require(logs != checkpoint.tensors.end() && logs->second.rank() == 2 && logs->second.dim(1) == 6 &&
              logs->second.dtype() == DType::f64,
          "{}: checkpoint without epoch logs", path);
  const auto values = logs->second.data<double>();
  for (std::size_t i = 0; i + 6 <= values.size(); i += 6) {
    progress_.logs.push_back(
        {values[i], values[i + 1], values[i + 2], values[i + 3], values[i + 4], values[i + 5]});
  }
}

TrainResult train(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                  const TrainOptions& options, const graph::Graph* teacher, const StepCallback& on_step) {
  return Trainer(graph, dataset, preprocess, options, teacher).run(on_step);
}

}  // namespace wins::training
