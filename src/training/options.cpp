#include "options.hpp"

#include <zlib.h>

#include <cmath>
#include <set>

#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/graph/column_mask.hpp"

namespace wins::training {
namespace {

/// Checksum of names, operators, masks (of columns: by name) and weights.
std::string checksum(const graph::Graph& graph) {
  uLong crc = crc32(0, nullptr, 0);
  const auto add = [&](const void* data, std::size_t size) {
    crc = crc32_z(crc, static_cast<const Bytef*>(data), size);
  };
  for (const graph::Node& node : graph.nodes) {
    const std::string text = graph::op_name(node.op) + " " + node.name;
    add(text.data(), text.size());
    if (const auto* op = node.as<graph::WinogradConv>()) add(op->mask.keep.data(), op->mask.keep.size());
  }
  const auto columns = graph.metadata.find(graph::kColumnPruning);
  if (columns != graph.metadata.end()) add(columns->second.data(), columns->second.size());
  for (const graph::Value& value : graph.values) {
    if (value.constant) add(value.constant->bytes(), value.constant->byte_size());
  }
  return fmt::format("{:08x}", crc);
}

void check_labels(const data::Dataset& dataset, std::int64_t classes) {
  std::set<std::int64_t> seen;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const std::int64_t label = dataset.label(i);
    require(label != data::kNoLabel, "picture '{}' has no label; train with --labels none", dataset.name(i));
    require(label >= 0 && (classes <= 0 || label < classes),
            "picture '{}' has label {}, the network has {} classes", dataset.name(i), label, classes);
    seen.insert(label);
  }
  require(seen.size() > 1, "the data set has one class only; train with --labels none, or with more classes");
}

}  // namespace

void check_options(const TrainOptions& o, bool has_teacher) {
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  const auto share = [](double value) { return value >= 0 && value < 1; };
  require(std::isfinite(o.epochs) && o.epochs >= 0 && o.epochs <= 1e6, "--epochs {}: 0 or more was expected",
          o.epochs);
  require(o.max_steps >= 0, "--steps {}: 0 or more was expected", o.max_steps);
  require(o.batch_size > 0 && o.batch_size <= 65536, "--batch {}: 1 to 65536 was expected", o.batch_size);
  require(positive(o.learning_rate), "--lr {}: a positive number was expected", o.learning_rate);
  require(std::isfinite(o.final_learning_rate) && o.final_learning_rate >= 0 &&
              o.final_learning_rate <= o.learning_rate,
          "--final-lr {}: 0 to the learning rate was expected", o.final_learning_rate);
  require(share(o.momentum), "--momentum {}: [0, 1) was expected", o.momentum);
  require(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "--weight-decay {}: 0 or more was expected",
          o.weight_decay);
  require(std::isfinite(o.warmup_epochs) && o.warmup_epochs >= 0, "--warmup {}: 0 or more was expected",
          o.warmup_epochs);
  require(share(o.label_smoothing), "--label-smoothing {}: [0, 1) was expected", o.label_smoothing);
  require(o.distill_weight >= 0 && o.distill_weight <= 1, "--distill {}: [0, 1] was expected",
          o.distill_weight);
  require(positive(o.distill_temperature), "--temperature {}: a positive number was expected",
          o.distill_temperature);
  require(std::isfinite(o.hint_weight) && o.hint_weight >= 0, "--hints {}: 0 or more was expected", o.hint_weight);
  require(has_teacher || o.hint_weight == 0, "--hints {}: hints need a teacher", o.hint_weight);
  require(has_teacher || o.distill_weight == 0, "--distill {}: distillation needs a teacher",
          o.distill_weight);
  require(has_teacher || o.use_labels, "--labels none: training without labels needs a teacher");
  require(share(o.held_out), "--held-out {}: [0, 1) was expected", o.held_out);
  require(o.patience >= 0, "--patience {}: 0 or more was expected", o.patience);
  require(o.patience == 0 || o.held_out > 0, "--patience {}: early stopping needs --held-out", o.patience);
  require(o.recalibrate_batches >= 0, "--recalibrate {}: 0 or more was expected", o.recalibrate_batches);
  require(o.checkpoint_steps > 0, "--checkpoint-steps {}: 1 or more was expected", o.checkpoint_steps);
  require(!o.resume || !o.checkpoint.empty(), "--resume: no checkpoint path was given");
  require(!o.amp || o.device == "cuda", "--amp: bf16 training needs --device cuda");
  if (!o.checkpoint.empty()) require_writable(o.checkpoint);
}

void check_data(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                const TrainOptions& options) {
  require(dataset.size() > 0, "the data set is empty");
  require(graph.inputs.size() == 1, "graph '{}' has {} inputs, training feeds one", graph.name,
          graph.inputs.size());
  const graph::Value& input = graph.value(graph.inputs[0]);
  const Shape wanted = {-1, preprocess.channels, preprocess.height, preprocess.width};
  require(preprocess.channels > 0 && preprocess.height > 0 && preprocess.width > 0,
          "input size {}x{}x{} is not known: give the picture size", preprocess.channels, preprocess.height,
          preprocess.width);
  if (input.shape) {
    bool fits = input.shape->size() == wanted.size();
    for (std::size_t i = 1; fits && i < wanted.size(); ++i) {
      fits = (*input.shape)[i] < 0 || (*input.shape)[i] == wanted[i];
    }
    require(fits, "input '{}' has shape {}, pictures come as {}", input.name, to_string(*input.shape),
            to_string(wanted));
  }
  if (!options.use_labels) return;
  const auto& output = graph.value(graph.outputs.at(0)).shape;
  check_labels(dataset, output && output->size() >= 2 ? (*output)[1] : -1);
}

std::map<std::string, std::string> fingerprint(const graph::Graph& graph, const data::Dataset& dataset,
                                               const data::Preprocess& preprocess, const TrainOptions& o,
                                               const graph::Graph* teacher) {
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  std::map<std::string, std::string> all = {
      {"network", checksum(graph)},
      {"teacher", teacher != nullptr ? checksum(*teacher) : "none"},
      {"data set size", text(dataset.size())},
      {"--device", o.device},
      {"--epochs", text(o.epochs)},
      {"--steps", text(o.max_steps)},
      {"--batch", text(o.batch_size)},
      {"--optimizer", o.optimizer},
      {"--lr", text(o.learning_rate)},
      {"--final-lr", text(o.final_learning_rate)},
      {"--momentum", text(o.momentum)},
      {"--weight-decay", text(o.weight_decay)},
      {"--warmup", text(o.warmup_epochs)},
      {"--label-smoothing", text(o.label_smoothing)},
      {"--distill", text(o.distill_weight)},
      {"--temperature", text(o.distill_temperature)},
      {"--hints", text(o.hint_weight)},
      {"--labels", o.use_labels ? "all" : "none"},
      {"--recalibrate", text(o.recalibrate_batches)},
      {"--held-out", text(o.held_out)},
      {"--patience", text(o.patience)},
      {"--seed", text(o.seed)},
      {"--amp", text(o.amp)},
      {"augmentation", fmt::format("flip {} crop {} resized {} cutout {}", o.augment.flip, o.augment.pad_crop,
                                   o.augment.random_resized, o.augment.cutout)},
  };
  for (const auto& [key, value] : preprocess.to_metadata()) all[key] = value;
  return all;
}

}  // namespace wins::training
