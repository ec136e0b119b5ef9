// wins train and wins finetune: dense training, and more epochs for a pruned model.
#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "train_flags.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/base/table.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  DataFlags data;
  TrainFlags train;
  std::string model;
  std::string output;
  std::vector<std::string> class_names;
};

std::string epoch_table(const std::vector<training::EpochLog>& epochs) {
  Table table({"epoch", "loss", "accuracy %", "held out %", "lr", "seconds"});
  for (const training::EpochLog& e : epochs) {
    table.add({fmt::format("{:.2f}", e.epoch), fmt::format("{:.4f}", e.loss), fmt::format("{:.2f}", e.accuracy * 100),
               std::isnan(e.held_out_accuracy) ? "-" : fmt::format("{:.2f}", e.held_out_accuracy * 100),
               fmt::format("{:.4f}", e.learning_rate), fmt::format("{:.1f}", e.seconds)});
  }
  return table.text();
}

void run_training(const Options& options, const char* label) {
  require(training::available(), "this build cannot train: configure with -DWINS_TRAINING=ON");
  require_writable(options.output);
  const training::TrainOptions train = resolve(options.train, options.common, !options.train.teacher.empty());
  graph::Graph model = onnx::load(options.model);
  std::optional<graph::Graph> teacher;
  if (!options.train.teacher.empty()) teacher = onnx::load(options.train.teacher);
  const OpenedData data(options.data, options.common.seed);
  data::Preprocess preprocess = preprocess_for(model, options.model, options.data);
  if (preprocess.mean.empty()) data::measure_normalization(data.get(), preprocess);
  if (!options.class_names.empty()) preprocess.classes = options.class_names;
  if (preprocess.classes.empty()) preprocess.classes = data.get().classes();

  training::TrainResult result =
      train_with_progress(label, model, data.get(), preprocess, train, teacher ? &*teacher : nullptr);
  store_preprocess(result.graph, preprocess);
  result.graph.metadata[std::string("wins.") + label] = command_line();
  onnx::save(result.graph, options.output);
  fmt::print("{}wrote {}\n", epoch_table(result.epochs), options.output);

  Json record = run_header(options.common);
  record["model"] = options.model;
  record["output"] = options.output;
  record["data"] = options.data.path;
  record["training_log"] = to_json(result.epochs);
  record["held_out_accuracy"] = std::isnan(result.held_out_accuracy) ? Json() : Json(result.held_out_accuracy);
  write_json(options.common, record);
}

void add_verb(CLI::App& app, const char* name, const char* help, const TrainFlags& defaults) {
  auto options = std::make_shared<Options>();
  options->train = defaults;
  CLI::App* verb = app.add_subcommand(name, help);
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("-o,--output", options->output, "ONNX file to write")->required();
  verb->add_option("--teacher", options->train.teacher, "dense ONNX model for distillation")->type_name("FILE");
  verb->add_option("--class-names", options->class_names, "names of the classes, comma list; default: the data's")
      ->delimiter(',');
  add_data_flags(*verb, options->data, "train", true);
  add_train_flags(*verb, options->train);
  add_common(*verb, options->common);
  verb->callback([options, name] { run_training(*options, name); });
}

}  // namespace

void add_train(CLI::App& app) {
  TrainFlags defaults;
  defaults.options.epochs = 30;
  defaults.options.warmup_epochs = 1;
  add_verb(app, "train", "dense training", defaults);
}

void add_finetune(CLI::App& app) {
  TrainFlags defaults;
  defaults.options.epochs = 4;
  defaults.options.optimizer = "adamw";
  defaults.options.learning_rate = 0.001;
  defaults.options.weight_decay = 0;
  defaults.options.batch_size = 64;
  defaults.options.recalibrate_batches = 20;
  add_verb(app, "finetune", "more epochs for a pruned model, in the Winograd domain under its masks", defaults);
}

}  // namespace wins::cli
