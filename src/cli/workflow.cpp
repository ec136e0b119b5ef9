#include "workflow.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "refit_checkpoint.hpp"
#include "wins/base/error.hpp"
#include "wins/base/progress.hpp"
#include "wins/base/table.hpp"
#include "wins/graph/cost.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::cli {
namespace {

std::vector<std::int64_t> kept_per_position(const winograd::Mask& mask) {
  std::vector<std::int64_t> kept;
  for (int xi = 0; xi < mask.positions; ++xi) kept.push_back(mask.kept_in(xi));
  return kept;
}

Json kept_to_json(const winograd::Mask& mask) {
  return {{"kept", kept_per_position(mask)}, {"rows", mask.units()}, {"ratio", mask.pruning_ratio()}};
}

/// Accuracy after the paper's short adaptation from the same starting weights.
double outlook_accuracy(const graph::Graph& graph, const graph::Graph& dense, const PruneJob& job) {
  require(job.dataset != nullptr, "--method wins-ab needs --data: it compares accuracies");
  training::TrainOptions options = job.outlook;
  options.max_steps = job.outlook_steps;
  options.checkpoint.clear();
  const training::TrainResult result = training::train(graph, *job.dataset, job.preprocess, options, &dense);
  require(!std::isnan(result.held_out_accuracy), "--method wins-ab needs labelled data and --held-out above 0");
  return result.held_out_accuracy;
}

/// Refits behind a progress bar.
refit::RefitResult refit_with_progress(const std::string& label, const graph::Graph& pruned, const graph::Graph& dense,
                                       const PruneJob& job) {
  refit::RefitOptions options = *job.refit;
  const RefitCheckpoint checkpoint(job.refit_checkpoint, pruned, dense, job.pictures, options);
  checkpoint.attach(options);
  if (checkpoint.layers_done() > 0) fmt::print("{} layers are done already\n", checkpoint.layers_done());
  options.progress = layer_progress(label);
  refit::RefitResult result = refit_on_device(pruned, dense, job.pictures, options, job);
  checkpoint.remove();
  return result;
}

/// For the refit behind an outlook accuracy.
constexpr std::int64_t kOutlookPictures = 256;

/// The same without training: held-out accuracy after a refit on a few of the pictures.
double refitted_accuracy(const graph::Graph& graph, const graph::Graph& dense, const PruneJob& job) {
  require(job.dataset != nullptr, "--method wins-ab needs --data: it compares accuracies");
  const data::Split split = data::hold_out(*job.dataset, job.outlook.held_out, job.outlook.seed);
  const data::Subset held_out(*job.dataset, split.held_out);
  graph::Graph adapted = graph;
  if (job.refit && !job.pictures.empty()) {
    adapted = refit_on_device(graph, dense, first_pictures(job.pictures, kOutlookPictures), *job.refit, job).graph;
  }
  return evaluate(open_forward(adapted, job), held_out, job.preprocess, "outlook").top1;
}

pruning::AbHooks make_hooks(const graph::Graph& dense, const PruneJob& job, Progress& progress) {
  pruning::AbHooks hooks;
  hooks.measure = [&](const graph::Graph& graph) {
    return measure_layers(graph, job.session, input_shapes(graph, job.timing_batch), job.timing_rounds);
  };
  hooks.outlook = [&](const graph::Graph& graph) {
    const bool train = training::available() && job.outlook_steps > 0;
    return train ? outlook_accuracy(graph, dense, job) : refitted_accuracy(graph, dense, job);
  };
  std::size_t shown = 0;
  hooks.progress = [&progress, shown](std::size_t done, std::size_t) mutable {
    progress.advance(static_cast<std::int64_t>(done - std::min(shown, done)));
    shown = done;
  };
  return hooks;
}

}  // namespace

Forward open_forward(const graph::Graph& graph, const PruneJob& job) {
  return open_forward(graph, job.session, job.outlook.device);
}

refit::RefitResult refit_on_device(const graph::Graph& pruned, const graph::Graph& dense,
                                   const std::vector<Tensor>& pictures, const refit::RefitOptions& options,
                                   const PruneJob& job) {
  if (job.outlook.device == "cpu") return refit::refit(pruned, dense, pictures, options);
  return training::refit(pruned, dense, pictures, options, job.outlook.device);
}

std::vector<Tensor> calibration_batches(const data::Dataset& dataset, const data::Preprocess& preprocess,
                                        std::int64_t pictures, std::uint64_t seed, std::int64_t skip,
                                        const std::optional<data::Augment>& augment) {
  data::LoaderOptions options;
  options.batch_size = 64;
  if (skip == 0) options.batch_size = std::min<std::int64_t>(64, pictures);
  options.shuffle = true;
  options.seed = seed;
  options.first_batch = (skip + options.batch_size - 1) / options.batch_size;
  if (augment) options.augment = *augment;
  std::vector<Tensor> batches;
  for (std::int64_t seen = 0, before = -1; seen < pictures && seen > before; ++options.epoch) {
    before = seen;
    data::Loader loader(dataset, preprocess, options);
    for (data::Batch batch; seen < pictures && loader.next(batch); seen += batch.images.dim(0)) {
      batches.push_back(batch.images);
    }
    if (!augment) break;  // the same pictures again would tell nothing new
    options.first_batch = 0;
    options.drop_last = true;
  }
  return batches;
}

std::vector<Tensor> first_pictures(const std::vector<Tensor>& batches, std::int64_t count) {
  std::vector<Tensor> result;
  for (std::int64_t seen = 0; seen < count && result.size() < batches.size(); seen += result.back().dim(0))
    result.push_back(batches[result.size()]);
  return result;
}

std::map<std::string, double> measure_layers(const graph::Graph& graph, const runtime::SessionOptions& options,
                                             const std::vector<Shape>& shapes, int rounds) {
  runtime::Session session = runtime::Session::open(graph, options);
  const std::vector<Tensor> inputs = random_inputs(graph, graph.name, shapes, 0);
  std::map<std::string, double> times;
  for (const runtime::LayerPlan& layer : session.profile(inputs, rounds).layers) {
    const graph::Node* node = graph.find_node(layer.node);
    if (node != nullptr && node->as<graph::WinogradConv>() != nullptr) times[layer.node] = layer.measured_us;
  }
  return times;
}

Pruned prune_network(const graph::Graph& start, const graph::Graph& dense, const PruneJob& job) {
  Pruned result{start, {}, {}, 0};
  if (job.config.method != pruning::Method::wins_ab) {
    pruning::prune(result.graph, job.config, job.calibration);
  } else {
    const auto layers = pruning::prunable_layers(start, nullptr, job.config.strided);
    Progress progress("WINS-AB decisions", static_cast<std::int64_t>(layers.size()));
    result.decisions = pruning::decide_wins_ab(result.graph, job.config, job.calibration,
                                               make_hooks(dense, job, progress), job.tradeoff);
  }
  if (!job.refit || job.pictures.empty()) return result;
  refit::RefitResult fitted = refit_with_progress("refit", result.graph, dense, job);
  result.graph = std::move(fitted.graph);
  result.fits = std::move(fitted.layers);
  result.fit_pictures = fitted.pictures;
  return result;
}

std::vector<Shape> input_shapes(const graph::Graph& graph, std::int64_t batch) {
  return graph::default_input_shapes(graph, batch);
}

std::vector<Tensor> random_inputs(const graph::Graph& graph, const std::string& model_name,
                                  const std::vector<Shape>& shapes, std::uint64_t seed) {
  const auto memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    double bytes = sizeof(float);
    for (const std::int64_t extent : shapes[i]) bytes *= static_cast<double>(extent);
    require(bytes < memory, "{}: input '{}' of shape {} needs {:.1f} GB, more than this machine's memory", model_name,
            graph.value(graph.inputs[i]).name, to_string(shapes[i]), bytes * 1e-9);
    inputs.push_back(random_normal(shapes[i], seed + i));
  }
  return inputs;
}

Ratios count_ratios(const graph::Graph& graph) {
  const graph::Graph concrete = graph::specialize(graph, input_shapes(graph, 1));
  const graph::NetworkCost cost = graph::count_cost(concrete);
  return {cost.pruning_ratio(concrete), cost.pruned_flops()};
}

Json layers_to_json(const graph::Graph& graph, const runtime::Plan& plan) {
  Json layers = Json::array();
  for (const runtime::LayerPlan& layer : plan.layers) {
    Json row{{"name", layer.node}, {"kernel", layer.kernel}, {"problem", layer.problem},
             {"median_us", layer.measured_us}, {"predicted_us", layer.predicted_us},
             {"workspace_bytes", layer.workspace_bytes}, {"weight_bytes", layer.weight_bytes}};
    if (layer.tuned_us > 0) {
      row["choice"] = layer.choice;
      row["tuned_us"] = layer.tuned_us;
    }
    const graph::Node* node = graph.find_node(layer.node);
    if (const auto* conv = node == nullptr ? nullptr : node->as<graph::WinogradConv>()) row.update(kept_to_json(conv->mask));
    layers.push_back(std::move(row));
  }
  return layers;
}

Json kept_layers_to_json(const graph::Graph& graph) {
  Json layers = Json::array();
  for (const graph::Node& node : graph.nodes) {
    const auto* conv = node.as<graph::WinogradConv>();
    if (conv == nullptr) continue;
    Json row{{"name", node.name}};
    row.update(kept_to_json(conv->mask));
    layers.push_back(std::move(row));
  }
  return layers;
}

std::string kept_columns_text(const pruning::ColumnRow& row) {
  const auto [least, most] = std::minmax_element(row.kept.begin(), row.kept.end());
  return *least == *most ? std::to_string(*least) : fmt::format("{} to {}", *least, *most);
}

void add_columns(const graph::Graph& graph, Json& record) {
  const std::vector<pruning::ColumnRow> rows = pruning::column_table(graph);
  if (rows.empty()) return;
  Json& entry = record["bcbp"];
  entry["ratio"] = pruning::column_ratio(graph);
  entry["block"] = rows.front().block;
  entry["layers"] = Json::array();
  for (const pruning::ColumnRow& row : rows) {
    entry["layers"].push_back({{"name", row.layer}, {"outputs", row.rows}, {"columns", row.columns}, {"kept", row.kept},
                               {"ratio", row.ratio()}});
  }
}

Json to_json(const std::vector<pruning::AbDecision>& decisions) {
  Json rows = Json::array();
  for (const pruning::AbDecision& d : decisions) {
    rows.push_back({{"layer", d.layer}, {"time_wins_us", d.time_wins_us}, {"time_wins_b_us", d.time_wins_b_us},
                    {"outlook_before", d.outlook_before}, {"outlook_after", d.outlook_after}, {"gain", d.gain},
                    {"price", d.price}, {"balanced", d.balanced}, {"reason", d.reason}});
  }
  return rows;
}

std::string decision_table(const std::vector<pruning::AbDecision>& decisions) {
  Table table({"layer", "WINS us", "WINS-B us", "gain %", "price points", "choice", "why"});
  for (const pruning::AbDecision& d : decisions) {
    table.add({d.layer, fmt::format("{:.1f}", d.time_wins_us), fmt::format("{:.1f}", d.time_wins_b_us),
               fmt::format("{:.2f}", d.gain * 100), fmt::format("{:.2f}", d.price * 100),
               d.balanced ? "WINS-B" : "WINS", d.reason});
  }
  return table.text();
}

}  // namespace wins::cli
