#include "train_flags.hpp"

#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <sstream>

#include "wins/base/error.hpp"
#include "wins/base/progress.hpp"

namespace wins::cli {

data::Augment parse_augment(const std::string& flag, const std::string& text) {
  data::Augment augment;
  std::stringstream list(text);
  for (std::string item; std::getline(list, item, ',');) {
    const auto equals = item.find('=');
    const std::string name = item.substr(0, equals);
    double value = 0;
    try {
      value = equals == std::string::npos ? 0 : std::stod(item.substr(equals + 1));
    } catch (const std::exception&) {
      throw UsageError(fmt::format("{}: '{}' needs a number", flag, item));
    }
    if (name == "flip") {
      augment.flip = true;
    } else if (name == "crop" && value >= 1) {
      augment.pad_crop = static_cast<std::int64_t>(value);
    } else if (name == "cutout" && value >= 1) {
      augment.cutout = static_cast<std::int64_t>(value);
    } else if (name == "resized" && value > 0 && value <= 1) {
      augment.random_resized = value;
    } else {
      throw UsageError(fmt::format("{}: '{}' is not one of flip, crop=PIXELS, cutout=PIXELS, resized=AREA", flag, item));
    }
  }
  return augment;
}

void add_train_flags(CLI::App& app, TrainFlags& flags) {
  training::TrainOptions& o = flags.options;
  app.add_option("--device", o.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
  app.add_option("--epochs", o.epochs, "passes over the training data; fractions allowed")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--batch", o.batch_size, "pictures a step")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--optimizer", o.optimizer, "sgd (Nesterov) or adamw")
      ->check(CLI::IsMember({"sgd", "adamw"}))->capture_default_str();
  app.add_option("--lr", o.learning_rate, "peak learning rate")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--momentum", o.momentum, "Nesterov momentum")->check(CLI::Range(0.0, 0.999))->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay, "L2 penalty")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--warmup", o.warmup_epochs, "epochs of linear warm-up")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--label-smoothing", o.label_smoothing)->check(CLI::Range(0.0, 0.99))->capture_default_str();
  app.add_option("--held-out", o.held_out, "share of the training data held out for decisions")
      ->check(CLI::Range(0.0, 0.9))->capture_default_str();
  app.add_option("--patience", o.patience, "epochs without progress on the held-out share before stopping; 0 = never")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--augment", flags.augment, "comma list of flip, crop=PIXELS, cutout=PIXELS, resized=AREA")
      ->capture_default_str();
  app.add_option("--distill", o.distill_weight, "weight of the teacher's answers in the loss, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--hints", o.hint_weight, "weight of the distance to the teacher's inner activations in the loss")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--temperature", o.distill_temperature, "distillation temperature")
      ->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--labels", flags.labels, "'none' trains by distillation alone")
      ->check(CLI::IsMember({"use", "none"}))->capture_default_str();
  app.add_option("--recalibrate", o.recalibrate_batches, "batches that re-estimate batch norm")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_flag("--amp", o.amp, "bf16 mixed precision (cuda only)");
  app.add_option("--checkpoint", o.checkpoint, "checkpoint FILE, written atomically")->type_name("FILE");
  app.add_option("--checkpoint-steps", o.checkpoint_steps, "steps between checkpoints")
      ->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--resume", o.resume, "continue from --checkpoint");
}

training::TrainOptions resolve(const TrainFlags& flags, const Common& common, bool has_teacher) {
  training::TrainOptions options = flags.options;
  options.seed = common.seed;
  options.threads = common.threads;
  options.augment = parse_augment("--augment", flags.augment);
  options.use_labels = flags.labels != "none";
  if (!options.use_labels) options.distill_weight = 1;
  if (options.hint_weight > 0 && !has_teacher) throw UsageError("--hints needs --teacher");
  if (options.distill_weight > 0 && !has_teacher) {
    throw UsageError(options.use_labels ? "--distill needs --teacher" : "--labels none needs --teacher");
  }
  if (options.resume && options.checkpoint.empty()) throw UsageError("--resume needs --checkpoint");
  if (options.amp && options.device != "cuda") throw UsageError("--amp needs --device cuda");
  if (options.patience > 0 && options.held_out == 0) throw UsageError("--patience needs --held-out");
  return options;
}

training::TrainResult train_with_progress(const std::string& label, const graph::Graph& graph,
                                          const data::Dataset& dataset, const data::Preprocess& preprocess,
                                          const training::TrainOptions& options, const graph::Graph* teacher) {
  std::unique_ptr<Progress> progress;
  std::int64_t shown = 0;
  const auto on_step = [&](std::int64_t done, std::int64_t total, double loss) {
    if (!progress) progress = std::make_unique<Progress>(label, total);
    progress->advance(done - shown, fmt::format("loss {:.3f}", loss));
    shown = done;
  };
  return training::train(graph, dataset, preprocess, options, teacher, on_step);
}

Json to_json(const std::vector<training::EpochLog>& epochs) {
  Json rows = Json::array();
  for (const training::EpochLog& e : epochs) {
    Json row{{"epoch", e.epoch}, {"loss", e.loss}, {"accuracy", e.accuracy}, {"learning_rate", e.learning_rate},
             {"seconds", e.seconds}};
    row["held_out_accuracy"] = std::isnan(e.held_out_accuracy) ? Json() : Json(e.held_out_accuracy);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace wins::cli
