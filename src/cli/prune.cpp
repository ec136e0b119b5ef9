// wins prune: choose rows, prune, fine-tune, write.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "allocation.hpp"
#include "evaluation.hpp"
#include "prune_flags.hpp"
#include "ratio_search.hpp"
#include "refit_flags.hpp"
#include "train_flags.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/base/table.hpp"
#include "wins/graph/passes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/pruning/statistics.hpp"

namespace wins::cli {
namespace {

/// Held-out pictures without labels that are compared at most.
constexpr std::int64_t kMaxHeldOut = 5000;

struct Options {
  Common common;
  DataFlags data;
  TrainFlags train;
  PruneFlags prune;
  RefitFlags refit;
  std::string model;
  std::string output;
  std::string portable;
  bool no_training = false;
  bool epochs_given = false;
};

/// A build without libtorch only prunes, unless fine-tuning was asked for.
bool wants_training(const Options& options) {
  if (options.no_training || options.train.options.epochs == 0) return false;
  require(training::available() || !options.epochs_given,
          "--epochs: this build cannot fine-tune: give --training none, or configure with -DWINS_TRAINING=ON");
  return training::available();
}

/// What --allocate, --max-loss and --max-ratio ask of the other flags.
void check_ratio_flags(const Options& options) {
  const PruneFlags& flags = options.prune;
  const bool allocate = flags.allocate != "uniform";
  if (flags.max_ratio && !allocate && !flags.max_loss) {
    throw UsageError("--max-ratio bounds what --allocate and --max-loss choose: give one of them");
  }
  if (!flags.curves.empty() && !allocate) throw UsageError("--curves goes with --allocate multiplications or time");
  if (flags.max_ratio && *flags.max_ratio < 0.01) throw UsageError("--max-ratio: at least 0.01 leaves something to choose");
  if (!allocate && !flags.max_loss) return;
  const std::string name = flags.max_loss ? "--max-loss" : "--allocate";
  if (options.data.path.empty()) throw UsageError(name + " needs --data: it measures on pictures");
  if (flags.method == "dense") throw UsageError(name + " does not go with --method dense, which prunes nothing");
  if (flags.steps > 1) throw UsageError(name + " does not go with --steps: it chooses ratios from the dense network");
  if (allocate && options.refit.off) throw UsageError("--allocate does not go with --no-refit: its curves are of refits");
  if (!flags.max_loss) return;
  if (wants_training(options)) throw UsageError("--max-loss needs --training none: it judges each ratio without training");
  if (!(options.train.options.held_out > 0)) throw UsageError("--max-loss needs --held-out above 0: it judges there");
  if (!std::isfinite(*flags.max_loss)) throw UsageError("--max-loss: not a finite number");
}

/// Fine-tunes `pruned` with the dense network as teacher.
training::TrainResult fine_tune(const Options& options, const graph::Graph& pruned, const graph::Graph& dense,
                                const data::Dataset& dataset, const data::Preprocess& preprocess) {
  const training::TrainOptions train = resolve(options.train, options.common, true);
  return train_with_progress("fine-tuning", pruned, dataset, preprocess, train, &dense);
}

std::string layer_table(const graph::Graph& graph) {
  Table table({"layer", "C", "K", "kept", "of", "ratio %", "positions alive"});
  for (const graph::Node& node : graph.nodes) {
    const auto* conv = node.as<graph::WinogradConv>();
    if (conv == nullptr) continue;
    const winograd::Mask& mask = conv->mask;
    int alive = 0;
    for (int xi = 0; xi < mask.positions; ++xi) alive += mask.kept_in(xi) > 0 ? 1 : 0;
    table.add({node.name, std::to_string(mask.columns), std::to_string(mask.rows), std::to_string(mask.kept_total()),
               std::to_string(mask.units() * mask.positions), fmt::format("{:.2f}", mask.pruning_ratio() * 100),
               fmt::format("{}", alive)});
  }
  return table.text();
}

/// What BCBP has left of the 1x1 convolutions; nothing without any.
std::string column_table(const graph::Graph& graph) {
  const std::vector<pruning::ColumnRow> rows = pruning::column_table(graph);
  if (rows.empty()) return "";
  Table table({"1x1 layer", "C", "K", "block", "blocks", "kept columns", "ratio %"});
  for (const pruning::ColumnRow& row : rows) {
    table.add({row.layer, std::to_string(row.columns), std::to_string(row.rows), std::to_string(row.block),
               std::to_string(row.kept.size()), kept_columns_text(row), fmt::format("{:.2f}", row.ratio() * 100)});
  }
  return fmt::format("\n{}1x1 convolutions: pruning ratio {:.2f} %\n", table.text(), pruning::column_ratio(graph) * 100);
}

void report_outcome(const Options& options, const Pruned& pruned, Json& record) {
  const Ratios ratios = count_ratios(pruned.graph);
  fmt::print("{}{}", layer_table(pruned.graph), column_table(pruned.graph));
  if (!pruned.fits.empty()) {
    fmt::print("\nrefit on {} pictures\n{}", pruned.fit_pictures, fit_table(pruned.fits));
  }
  if (!pruned.decisions.empty()) {
    fmt::print("\nWINS-AB (trade-off {} points for the whole time):\n{}", options.prune.tradeoff * 100,
               decision_table(pruned.decisions));
  }
  const double multiplications = pruned_multiplications(pruned.graph);
  fmt::print("\npruning ratio {:.2f} %, pruned multiplications of the Winograd layers {:.2f} %, pruned FLOPs {:.2f} %\n",
             ratios.pruning_ratio * 100, multiplications * 100, ratios.pruned_flops * 100);
  record["pruned_multiplications"] = multiplications;
  record["ratio"] = ratios.pruning_ratio;
  record["pruned_flops"] = ratios.pruned_flops;
  record["ab"] = to_json(pruned.decisions);
  record["refit"] = to_json(pruned.fits);
  record["pictures"] = pruned.fit_pictures;
  record["layers"] = kept_layers_to_json(pruned.graph);
  if (options.prune.bcbp) record["bcbp"]["ratio_target"] = *options.prune.bcbp;
  add_columns(pruned.graph, record);
}

/// Pruning in `--steps` rounds with rising ratio; fine-tuning, if any, after each round.
Pruned prune_in_steps(const Options& options, PruneJob& job, const graph::Graph& dense, Json& record) {
  const bool train = wants_training(options);
  Pruned pruned{dense, {}, {}, 0};
  const double target = job.config.ratio;
  for (int step = 1; step <= options.prune.steps; ++step) {
    job.config.ratio = target * step / options.prune.steps;
    if (job.config.columns) job.config.columns->ratio = *options.prune.bcbp * step / options.prune.steps;
    pruned = prune_network(pruned.graph, dense, job);
    if (!train) continue;
    training::TrainResult result = fine_tune(options, pruned.graph, dense, *job.dataset, job.preprocess);
    pruned.graph = std::move(result.graph);
    record["training_log"] = to_json(result.epochs);
    record["held_out_accuracy"] = std::isnan(result.held_out_accuracy) ? Json() : Json(result.held_out_accuracy);
  }
  return pruned;
}

/// Prunes at the ratio asked for, or at the one that --max-loss finds; with --allocate at each layer's own.
Pruned prune_as_asked(const Options& options, PruneJob& job, const graph::Graph& dense, Json& record) {
  std::optional<HeldOutLoss> loss_of;  // first: it refuses networks that do not classify
  if (options.prune.max_loss) loss_of.emplace(dense, job);
  std::optional<Allocator> allocator;
  if (options.prune.allocate != "uniform") allocator.emplace(dense, job, options.prune);
  Pruned pruned;
  if (options.prune.max_loss) {
    SearchResult found = search_ratio(dense, job, allocator ? &*allocator : nullptr, *loss_of, *options.prune.max_loss,
                                      options.prune.max_ratio.value_or(kMaxRatio));
    fmt::print("largest ratio within {} {}: {:.2f} (measured on the pictures that chose it)\n\n", *options.prune.max_loss,
               loss_of->unit(), found.ratio);
    record["ratio_target"] = found.ratio;
    record["search"] = to_json(found.steps);
    pruned = std::move(found.pruned);
  } else {
    if (allocator) allocator->apply(job.config.ratio, job.config);
    pruned = prune_in_steps(options, job, dense, record);
  }
  if (allocator) {
    fmt::print("{}\n", allocator->table(job.config.ratio));
    record["allocation"] = allocator->to_json(job.config.ratio);
  }
  return pruned;
}

/// What the held-out pictures say: agreement with the dense network, and accuracy where there are labels.
void report_held_out(const PruneJob& job, const graph::Graph& dense, const Pruned& pruned, Json& record) {
  const data::Split split = data::hold_out(*job.dataset, job.outlook.held_out, job.outlook.seed);
  if (split.held_out.empty()) return;
  const data::Subset held_out(*job.dataset, split.held_out);
  const Comparison found = compare(open_forward(dense, job), open_forward(pruned.graph, job), held_out, job.preprocess, kMaxHeldOut);
  const Agreement& agreement = found.agreement;
  fmt::print("held-out pictures: {}, relative output error {:.2f} %", agreement.pictures, agreement.relative_error * 100);
  record["held_out"] = {{"pictures", agreement.pictures}, {"output_error", agreement.relative_error}};
  if (!std::isnan(agreement.top)) {
    fmt::print(", same answer as the dense network {:.2f} %", agreement.top * 100);
    record["held_out"]["agreement"] = agreement.top;
  }
  if (!std::isnan(found.pruned.top1)) {
    fmt::print(", top-1 {:.2f} % (dense {:.2f} %), top-5 {:.2f} %", found.pruned.top1 * 100, found.dense.top1 * 100,
               found.pruned.top5 * 100);
    record["held_out"]["top1"] = found.pruned.top1;
    record["held_out"]["top5"] = found.pruned.top5;
    record["held_out"]["dense_top1"] = found.dense.top1;
  }
  fmt::print("\n");
}

void print_sensitivity(const Options& options, const PruneJob& job, const graph::Graph& dense, Json& record) {
  require(job.dataset != nullptr, "--sensitivity needs --data: it measures accuracy");
  const data::Split split = data::hold_out(*job.dataset, options.train.options.held_out, options.common.seed);
  const data::Subset held_out(*job.dataset, split.held_out);
  const auto accuracy = [&](const graph::Graph& graph) {
    return evaluate(open_forward(graph, job), held_out, job.preprocess, "sensitivity").top1;
  };
  Table table({"layer", "ratio %", "held-out top-1 %"});
  record["sensitivity"] = Json::array();
  for (const auto& row : pruning::sensitivity(dense, job.config, options.prune.sensitivity, job.calibration, accuracy)) {
    table.add({row.layer, fmt::format("{:.0f}", row.ratio * 100), fmt::format("{:.2f}", row.accuracy * 100)});
    record["sensitivity"].push_back({{"layer", row.layer}, {"ratio", row.ratio}, {"accuracy", row.accuracy}});
  }
  fmt::print("{}", table.text());
}

void run_prune(const Options& options) {
  if (options.output.empty() && options.prune.sensitivity.empty()) throw UsageError("prune: -o FILE is required");
  check_ratio_flags(options);
  for (const std::string& file : {options.output, options.portable}) {
    if (!file.empty()) require_writable(file);
  }
  if (options.train.options.device != "cpu") training::check_device(options.train.options.device);
  const graph::Graph dense = onnx::load(options.model);
  PruneJob job = make_prune_job(options.prune, options.common);
  check_columns(dense, job);
  pruning::check(dense, job.config);
  std::optional<OpenedData> data;
  if (!options.data.path.empty()) {
    data.emplace(options.data, options.common.seed);
    job.dataset = &data->get();
    job.preprocess = preprocess_for(dense, options.model, options.data);
  } else if (wants_training(options)) {
    throw UsageError("prune: fine-tuning needs --data (or give --training none)");
  }
  if (job.config.method == pruning::Method::wins_ab && !options.output.empty() && job.dataset == nullptr) {
    throw UsageError("prune: --method wins-ab needs --data: it compares accuracies");
  }
  job.outlook = resolve(options.train, options.common, true);
  job.refit = resolve(options.refit, options.common);
  job.refit_checkpoint = options.refit.checkpoint;
  if (!job.refit_checkpoint.empty() && (options.prune.steps > 1 || options.prune.max_loss))
    throw UsageError("--refit-checkpoint goes with one refit, not with --steps or --max-loss");
  job.memory_limit = memory_limit(options.refit);
  if (options.no_training) job.outlook_steps = 0;
  calibrate_job(options.prune, options.common, dense, job);

  Json record = run_header(options.common);
  record["model"] = options.model;
  record["method"] = options.prune.method + (job.config.columns ? "+bcbp" : "");
  record["criterion"] = pruning::to_string(job.config.criterion);
  record["ratio_target"] = options.prune.ratio;
  if (!options.prune.sensitivity.empty()) print_sensitivity(options, job, dense, record);
  if (!options.output.empty()) {
    const auto start = std::chrono::steady_clock::now();
    const Pruned pruned = prune_as_asked(options, job, dense, record);
    record["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report_outcome(options, pruned, record);
    if (job.dataset != nullptr) report_held_out(job, dense, pruned, record);
    onnx::save(pruned.graph, options.output);
    fmt::print("wrote {}\n", options.output);
    if (!options.portable.empty()) {
      onnx::save(pruned.graph, options.portable, {.portable = true});
      fmt::print("wrote {} (standard operators only)\n", options.portable);
    }
    record["output"] = options.output;
  }
  write_json(options.common, record);
}

}  // namespace

void add_prune(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->train.options.epochs = 4;
  options->train.options.optimizer = "adamw";
  options->train.options.learning_rate = 0.001;
  options->train.options.weight_decay = 0;
  options->train.options.batch_size = 64;
  options->train.options.distill_weight = 0.9;
  options->train.options.recalibrate_batches = 20;
  options->train.options.held_out = 0.05;
  CLI::App* verb = app.add_subcommand("prune", "prune in the Winograd domain and fine-tune");
  verb->add_option("MODEL", options->model, "dense ONNX file")->required();
  verb->add_option("-o,--output", options->output, "ONNX file to write");
  verb->add_option("--portable", options->portable, "also write standard operators only to FILE")->type_name("FILE");
  verb->add_option_function<std::string>(
          "--training", [options](const std::string& value) { options->no_training = value == "none"; },
          "'none' prunes without fine-tuning")
      ->check(CLI::IsMember({"none", "default"}));
  add_prune_flags(*verb, options->prune);
  add_refit_flags(*verb, options->refit);
  add_data_flags(*verb, options->data, "train", false);
  add_train_flags(*verb, options->train);
  add_common(*verb, options->common);
  verb->callback([options, verb] {
    options->epochs_given = verb->count("--epochs") > 0;
    run_prune(*options);
  });
}

}  // namespace wins::cli
