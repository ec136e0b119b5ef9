// wins demo: the main job end to end on the committed network and Fashion-MNIST.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include "evaluation.hpp"
#include "onnxruntime_peer.hpp"
#include "prune_flags.hpp"
#include "refit_flags.hpp"
#include "timing.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/base/parallel.hpp"
#include "wins/base/progress.hpp"
#include "wins/base/table.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/report/report.hpp"

namespace wins::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  Common common;
  DataFlags data;
  TrainFlags train;
  RefitFlags refit;
  std::string model = "models/fashion-resnet.onnx";
  std::string output = "out/demo";
  std::int64_t batch = 1;
  int rounds = 100;
  int outlook_steps = 0;
  std::int64_t pictures = 2048;  ///< for calibration and refit
};

/// One row of the demo's table.
struct Case {
  const char* method;
  const char* criterion;
  double ratio;
};
constexpr Case kCases[] = {
    {"wins", "output-aware", 0.84}, {"wins-b", "l2", 0.84}, {"wins-ab", "output-aware", 0.84},
    {"fp", "l2", 0.84},             {"wwp", "output-aware", 0.84},    {"wins-ab", "output-aware", 0.50},
    {"fp", "l2", 0.50},
};

/// What one case produced before timing.
struct Outcome {
  Case job;
  Pruned pruned;
  std::vector<training::EpochLog> log;
  double refitted_top1 = 0;     ///< before any training
  double refit_seconds = 0;     ///< prune and refit
  double top1 = 0;
};

/// Everything that the cases share.
struct Bench {
  graph::Graph dense;
  data::Preprocess preprocess;
  std::unique_ptr<OpenedData> train;
  std::unique_ptr<OpenedData> test;
  std::vector<Tensor> pictures;
  pruning::Calibration calibration;
  training::TrainOptions training;
};

double top1_of(const Options& options, const graph::Graph& graph, const Bench& bench, const std::string& label) {
  return evaluate(open_forward(graph, session_options(options.common, "cpu"), "cpu"), bench.test->get(), bench.preprocess, label).top1;
}

Bench open_bench(const Options& options) {
  Bench bench;
  bench.dense = onnx::load(options.model);
  bench.preprocess = preprocess_for(bench.dense, options.model, options.data);
  DataFlags flags = options.data;
  flags.split = "train";
  bench.train = std::make_unique<OpenedData>(flags, options.common.seed);
  flags.split = "test";
  bench.test = std::make_unique<OpenedData>(flags, options.common.seed);
  bench.pictures = calibration_batches(bench.train->get(), bench.preprocess, options.pictures, options.common.seed);
  bench.calibration = pruning::calibrate(bench.dense, bench.pictures, 2);
  bench.training = resolve(options.train, options.common, true);
  return bench;
}

/// Whether two pruned networks keep the same weights: pruning is deterministic, so they then
/// start fine-tuning from the same point and end at the same point.
bool same_masks(const graph::Graph& a, const graph::Graph& b) {
  return std::equal(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(),
                    [](const graph::Node& x, const graph::Node& y) {
                      const auto* p = x.as<graph::WinogradConv>();
                      const auto* q = y.as<graph::WinogradConv>();
                      return p == nullptr ? q == nullptr : q != nullptr && p->mask == q->mask;
                    });
}

/// Fine-tunes and evaluates, or takes over what an earlier case with the same masks reached.
void finish_case(const Options& options, const Bench& bench, const std::vector<Outcome>& earlier, Outcome& outcome) {
  for (const Outcome& other : earlier) {
    if (!same_masks(other.pruned.graph, outcome.pruned.graph)) continue;
    outcome.pruned.graph = other.pruned.graph;
    outcome.log = other.log;
    outcome.refitted_top1 = other.refitted_top1;
    outcome.top1 = other.top1;
    return;
  }
  const std::string label = fmt::format("{} {:.0f} %", outcome.job.method, outcome.job.ratio * 100);
  outcome.refitted_top1 = top1_of(options, outcome.pruned.graph, bench, label);
  if (training::available()) {
    training::TrainResult result = train_with_progress(label, outcome.pruned.graph, bench.train->get(),
                                                       bench.preprocess, bench.training, &bench.dense);
    outcome.pruned.graph = std::move(result.graph);
    outcome.log = std::move(result.epochs);
  }
  outcome.top1 = training::available() ? top1_of(options, outcome.pruned.graph, bench, label) : outcome.refitted_top1;
}

Outcome run_case(const Options& options, const Case& job_case, const Bench& bench,
                 const std::vector<Outcome>& earlier) {
  PruneFlags flags;
  flags.method = job_case.method;
  flags.criterion = job_case.criterion;
  flags.ratio = job_case.ratio;
  flags.outlook_steps = options.outlook_steps;
  flags.timing_batch = options.batch;
  PruneJob job = make_prune_job(flags, options.common);
  job.dataset = &bench.train->get();
  job.preprocess = bench.preprocess;
  job.calibration = bench.calibration;
  job.outlook = bench.training;
  job.pictures = bench.pictures;
  job.refit = resolve(options.refit, options.common);

  const auto start = std::chrono::steady_clock::now();
  Outcome outcome{job_case, prune_network(bench.dense, bench.dense, job), {}, 0, 0, 0};
  outcome.refit_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  finish_case(options, bench, earlier, outcome);
  return outcome;
}

std::shared_ptr<runtime::Session> open_session(const Options& options, const graph::Graph& graph) {
  return std::make_shared<runtime::Session>(runtime::Session::open(graph, session_options(options.common, "cpu")));
}

/// Medians of all rows, our dense Winograd and ONNX Runtime, taken in turn.
struct Times {
  std::vector<double> rows_us;
  double dense_us = 0;
  double onnxruntime_us = 0;  ///< 0 when ONNX Runtime is not installed
  std::vector<runtime::Plan> plans;
  runtime::Plan dense_plan;
  std::string onnxruntime_version;
};

Times time_all(const Options& options, const Bench& bench, const std::vector<Outcome>& outcomes) {
  const auto shapes = input_shapes(bench.dense, options.batch);
  const std::vector<Tensor> inputs{random_normal(shapes.front(), options.common.seed)};
  std::vector<std::shared_ptr<runtime::Session>> sessions{open_session(options, bench.dense)};
  for (const Outcome& outcome : outcomes) sessions.push_back(open_session(options, outcome.pruned.graph));
  std::vector<Contender> contenders;
  for (const auto& session : sessions) {
    contenders.push_back({"wins", [session, &inputs] { return microseconds([&] { session->run(inputs); }); }});
  }
  Times times;
  try {
    const int threads = options.common.threads > 0 ? options.common.threads : default_threads();
    const auto peer = std::make_shared<OnnxRuntimePeer>(options.model, shapes, threads, options.common.seed);
    times.onnxruntime_version = peer->version();
    contenders.push_back({"onnxruntime", [peer] { return peer->run_once(); }, true});
  } catch (const Error& error) {
    fmt::print(stderr, "wins: warning: no comparison with ONNX Runtime: {}\n", error.what());
  }
  const std::vector<Timing> timings = time_in_turn(contenders, options.rounds, 20);
  times.dense_us = timings[0].median_us;
  for (std::size_t i = 0; i < outcomes.size(); ++i) times.rows_us.push_back(timings[i + 1].median_us);
  if (timings.size() > outcomes.size() + 1) times.onnxruntime_us = timings.back().median_us;

  times.dense_plan = sessions[0]->profile(inputs, 30);
  for (std::size_t i = 0; i < outcomes.size(); ++i) times.plans.push_back(sessions[i + 1]->profile(inputs, 30));
  return times;
}

Json row_to_json(const Outcome& outcome, double baseline, const Times& times, std::size_t index) {
  const Ratios ratios = count_ratios(outcome.pruned.graph);
  const runtime::Plan& plan = times.plans[index];
  const double us = times.rows_us[index];
  Json row;
  row["method"] = outcome.job.method;
  row["criterion"] = outcome.job.criterion;
  row["ratio_target"] = outcome.job.ratio;
  row["ratio"] = ratios.pruning_ratio;
  row["pruned_flops"] = ratios.pruned_flops;
  row["no_training"] = {{"top1", outcome.refitted_top1 * 100},
                        {"gap", (outcome.refitted_top1 - baseline) * 100},
                        {"pictures", outcome.pruned.fit_pictures},
                        {"seconds", outcome.refit_seconds}};
  row["refit"] = to_json(outcome.pruned.fits);
  row["top1"] = outcome.top1 * 100;
  row["gap"] = (outcome.top1 - baseline) * 100;
  row["median_ms"] = us / 1e3;
  row["speedup_vs_dense_winograd"] = times.dense_us / us;
  row["speedup_vs_onnxruntime"] = times.onnxruntime_us > 0 ? Json(times.onnxruntime_us / us) : Json();
  row["workspace_mb"] = static_cast<double>(plan.workspace_bytes) * 1e-6;
  row["layers"] = layers_to_json(outcome.pruned.graph, plan);
  row["ab"] = to_json(outcome.pruned.decisions);
  row["training_log"] = to_json(outcome.log);
  return row;
}

/// Pruned and refitted in closed form, before any training.
std::string no_training_table(const Json& record) {
  Table table({"method", "criterion", "PR %", "pruned FLOPs %", "top-1 %", "gap", "seconds"});
  for (const Json& row : record["rows"]) {
    const Json& untrained = row["no_training"];
    table.add({row["method"], row["criterion"], fmt::format("{:.1f}", row["ratio"].get<double>() * 100),
               fmt::format("{:.1f}", row["pruned_flops"].get<double>() * 100),
               fmt::format("{:.2f}", untrained["top1"].get<double>()),
               fmt::format("{:+.2f}", untrained["gap"].get<double>()),
               fmt::format("{:.1f}", untrained["seconds"].get<double>())});
  }
  return table.text();
}

std::string result_table(const Json& record) {
  Table table({"method", "criterion", "PR %", "pruned FLOPs %", "top-1 %", "gap", "median ms", "vs dense Winograd",
               "vs ONNX Runtime"});
  const auto number = [](const Json& value, const char* format) {
    return value.is_number() ? fmt::format(fmt::runtime(format), value.get<double>()) : std::string("-");
  };
  const Json& baseline = record["baseline"];
  table.add({"dense", "-", "0.0", "0.0", number(baseline["top1"], "{:.2f}"), "0.00",
             number(baseline["median_ms"], "{:.3f}"), "1.00x", number(baseline["speedup_vs_onnxruntime"], "{:.2f}x")});
  for (const Json& row : record["rows"]) {
    table.add({row["method"], row["criterion"], fmt::format("{:.1f}", row["ratio"].get<double>() * 100),
               fmt::format("{:.1f}", row["pruned_flops"].get<double>() * 100), number(row["top1"], "{:.2f}"),
               number(row["gap"], "{:+.2f}"), number(row["median_ms"], "{:.3f}"),
               number(row["speedup_vs_dense_winograd"], "{:.2f}x"), number(row["speedup_vs_onnxruntime"], "{:.2f}x")});
  }
  return table.text();
}

void write_outputs(const Options& options, const std::vector<Outcome>& outcomes, const Json& record) {
  const fs::path folder = options.output;
  for (const Outcome& outcome : outcomes) {
    if (std::string_view(outcome.job.method) != "wins-ab" || outcome.job.ratio != 0.84) continue;
    onnx::save(outcome.pruned.graph, folder / "pruned.onnx");
    onnx::save(outcome.pruned.graph, folder / "portable.onnx", {.portable = true});
  }
  const std::string text = record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  write_file_atomically(folder / "results.json", text);
  write_file_atomically(folder / "report.html", report::html_report({{"results.json", text}}));
}

void run_demo(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  std::error_code error;
  fs::create_directories(options.output, error);
  require_writable(fs::path(options.output) / "results.json");
  const Bench bench = open_bench(options);
  const double baseline = top1_of(options, bench.dense, bench, "dense");
  fmt::print("dense: top-1 {:.2f} % on {} test pictures\n", baseline * 100, bench.test->get().size());

  std::vector<Outcome> outcomes;
  for (const Case& job : kCases) {
    outcomes.push_back(run_case(options, job, bench, outcomes));
    fmt::print("{} {:.0f} %: top-1 {:.2f} % refitted, {:.2f} % fine-tuned\n", job.method, job.ratio * 100,
               outcomes.back().refitted_top1 * 100, outcomes.back().top1 * 100);
    std::fflush(stdout);
  }
  const Times times = time_all(options, bench, outcomes);

  Json record = run_header(options.common);
  record["dataset"] = options.data.path;
  record["model"] = options.model;
  record["batch"] = options.batch;
  record["onnxruntime"] = times.onnxruntime_version;
  record["baseline"] = {{"top1", baseline * 100}, {"median_ms", times.dense_us / 1e3}};
  record["baseline"]["speedup_vs_onnxruntime"] =
      times.onnxruntime_us > 0 ? Json(times.onnxruntime_us / times.dense_us) : Json();
  record["baseline"]["onnxruntime_median_ms"] = times.onnxruntime_us > 0 ? Json(times.onnxruntime_us / 1e3) : Json();
  record["dense_layers"] = layers_to_json(bench.dense, times.dense_plan);
  record["rows"] = Json::array();
  for (std::size_t i = 0; i < outcomes.size(); ++i) record["rows"].push_back(row_to_json(outcomes[i], baseline, times, i));
  record["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_outputs(options, outcomes, record);
  for (const Outcome& outcome : outcomes) {
    if (outcome.pruned.decisions.empty()) continue;
    fmt::print("\nWINS-AB at {:.0f} %, layer by layer:\n{}", outcome.job.ratio * 100,
               decision_table(outcome.pruned.decisions));
  }
  fmt::print("\nwithout training: pruned, kept rows refitted on {} unlabelled pictures\n{}", options.pictures,
             no_training_table(record));
  fmt::print("\n{}: batch {}, {} threads, medians of {} rounds in turn\n{}\nwrote {}/{{results.json,report.html,pruned.onnx,"
             "portable.onnx}} in {:.0f} s\n",
             training::available() ? fmt::format("fine-tuned for {:g} epochs", options.train.options.epochs)
                                   : "not fine-tuned (this build has no libtorch)",
             options.batch, options.common.threads > 0 ? options.common.threads : default_threads(), options.rounds,
             result_table(record), options.output, record["seconds"].get<double>());
  write_json(options.common, record);
}

}  // namespace

void add_demo(CLI::App& app) {
  auto options = std::make_shared<Options>();
  options->data.path = "/usr/share/datasets/fashion-mnist";
  training::TrainOptions& train = options->train.options;
  train.epochs = 0.5;
  train.batch_size = 64;
  train.optimizer = "adamw";
  train.learning_rate = 0.002;
  train.weight_decay = 0;
  train.distill_weight = 1;
  train.hint_weight = 5;
  train.recalibrate_batches = 10;
  train.held_out = 0.03;
  train.checkpoint_steps = 1000000;
  CLI::App* verb = app.add_subcommand("demo", "every method on the committed network, one table and a report");
  verb->add_option("--model", options->model, "dense ONNX file")->capture_default_str();
  verb->add_option("--out", options->output, "folder for results")->capture_default_str();
  verb->add_option("--rounds", options->rounds, "timed rounds")->check(CLI::Range(1, 100000))->capture_default_str();
  verb->add_option("--timing-batch", options->batch, "batch that is timed")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--outlook-steps", options->outlook_steps, "WINS-AB: iterations of a short adaptation by training; 0: a refit")
      ->check(CLI::Range(0, 100000))->capture_default_str();
  verb->add_option("--calibration", options->pictures, "pictures for the criterion and the refit")
      ->check(CLI::Range(1, 1000000))->capture_default_str();
  add_refit_flags(*verb, options->refit);
  add_data_flags(*verb, options->data, "test", false);
  add_train_flags(*verb, options->train);
  add_common(*verb, options->common);
  verb->callback([options] { run_demo(*options); });
}

}  // namespace wins::cli
