// wins bench: per layer and end to end; ratios to another model and to ONNX Runtime in one run.
#include <fmt/core.h>

#include <memory>
#include <optional>

#include "figure.hpp"
#include "onnxruntime_peer.hpp"
#include "timing.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/base/table.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  std::string figure;
  std::string against;
  std::string peer = "onnxruntime";
  std::string batches = "1";
  std::string backend = "cpu";
  int rounds = 30;
  bool layers = true;
  bool no_winograd = false;
  bool no_depth_first = false;
};

/// One of our sessions as a contender.
struct OurSide {
  runtime::Session session;
  std::vector<Tensor> inputs;
};

Contender our_contender(const std::string& name, const std::shared_ptr<OurSide>& side) {
  return {name, [side] { return microseconds([&] { side->session.run(side->inputs); }); }};
}

/// A model file, read once for all batches and contenders.
struct ModelFile {
  std::string file;
  graph::Graph graph;
};

std::shared_ptr<OurSide> open_side(const Options& options, const ModelFile& model, std::int64_t batch, bool winograd) {
  std::vector<Tensor> inputs = random_inputs(model.graph, model.file, input_shapes(model.graph, batch), options.common.seed);
  runtime::SessionOptions session = session_options(options.common, options.backend);
  session.winograd = winograd;
  session.depth_first = !options.no_depth_first;
  return std::make_shared<OurSide>(OurSide{runtime::Session::open(model.graph, session), std::move(inputs)});
}

std::shared_ptr<OnnxRuntimePeer> open_peer(const Options& options, const ModelFile& model, std::int64_t batch) {
  const int threads = options.common.threads > 0 ? options.common.threads : default_threads();
  return std::make_shared<OnnxRuntimePeer>(model.file, input_shapes(model.graph, batch), threads, options.common.seed);
}

void bench_batch(const Options& options, const ModelFile& model, const std::optional<ModelFile>& against,
                 std::int64_t batch, Json& record) {
  const auto ours = open_side(options, model, batch, !options.no_winograd);
  std::vector<Contender> contenders{our_contender("wins " + options.model, ours)};
  if (against) {
    contenders.push_back(our_contender("wins " + options.against, open_side(options, *against, batch, true)));
    contenders.push_back(
        our_contender("wins " + options.against + " without Winograd", open_side(options, *against, batch, false)));
  }
  std::string peer_version;
  if (options.peer == "onnxruntime") {
    const ModelFile& dense = against ? *against : model;
    const auto peer = open_peer(options, dense, batch);
    peer_version = peer->version();
    contenders.push_back({fmt::format("onnxruntime {} {}", peer_version, dense.file), [peer] { return peer->run_once(); }, true});
  }
  const std::vector<Timing> timings = time_in_turn(contenders, options.rounds);
  const runtime::Plan plan = ours->session.profile(ours->inputs, std::min(options.rounds, 20));
  if (options.layers) fmt::print("{}\n", plan.text());

  fmt::print("batch {}, {} threads, {} rounds in turn\n", batch,
             options.common.threads > 0 ? options.common.threads : default_threads(), options.rounds);
  Table table({"contender", "median ms", "min ms", "p99 ms", "ratio"});
  Json rows = Json::array();
  for (const Timing& t : timings) {
    const double ratio = t.median_us / timings.front().median_us;
    table.add({t.name, fmt::format("{:.3f}", t.median_us / 1e3), fmt::format("{:.3f}", t.min_us / 1e3),
               fmt::format("{:.3f}", t.p99_us / 1e3), fmt::format("{:.2f}x", ratio)});
    rows.push_back({{"name", t.name}, {"median_ms", t.median_us / 1e3}, {"min_ms", t.min_us / 1e3},
                    {"p99_ms", t.p99_us / 1e3}, {"ratio", ratio}});
  }
  fmt::print("{}", table.text());
  fmt::print("workspace {:.2f} MB, activations {:.2f} MB, weights {:.2f} MB\n\n",
             static_cast<double>(plan.workspace_bytes) * 1e-6, static_cast<double>(plan.arena_bytes) * 1e-6,
             static_cast<double>(plan.weight_bytes) * 1e-6);
  record["batches"].push_back({{"batch", batch}, {"rows", rows}, {"onnxruntime", peer_version},
                               {"layers", layers_to_json(ours->session.graph(), plan)},
                               {"workspace_bytes", plan.workspace_bytes}, {"arena_bytes", plan.arena_bytes},
                               {"weight_bytes", plan.weight_bytes}});
}

void run_bench(const Options& options) {
  if (options.model.empty()) throw UsageError("bench: give a MODEL, or --figure 3c");
  Json record = run_header(options.common);
  record["model"] = options.model;
  record["against"] = options.against;
  const std::vector<std::int64_t> batches = parse_list(options.batches, "--batch");
  const ModelFile model{options.model, onnx::load(options.model)};
  std::optional<ModelFile> against;
  if (!options.against.empty()) against = ModelFile{options.against, onnx::load(options.against)};
  for (const std::int64_t batch : batches) bench_batch(options, model, against, batch, record);
  write_json(options.common, record);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("bench", "time per layer and end to end, against others in one run");
  CLI::Option* model = verb->add_option("MODEL", options->model, "ONNX file");
  verb->add_option("--figure", options->figure,
                   "in place of a model: 3c, the paper's curve of irregular and regular pruning (CUDA, cuSPARSE; batch 64 unless --batch says otherwise)")
      ->check(CLI::IsMember({"3c"}))->excludes(model);
  verb->add_option("--against", options->against, "another ONNX file (the dense network)")->type_name("FILE");
  verb->add_option("--peer", options->peer, "onnxruntime (runs the --against file) or none")
      ->check(CLI::IsMember({"onnxruntime", "none"}))->capture_default_str();
  CLI::Option* batch = verb->add_option("--batch", options->batches, "comma list")->capture_default_str();
  verb->add_option("--backend", options->backend, "cpu, ref or cuda")->capture_default_str();
  verb->add_option("--rounds", options->rounds, "timed rounds")->check(CLI::Range(1, 1000000))->capture_default_str();
  verb->add_flag("!--no-layers", options->layers, "leave the layer table out");
  verb->add_flag("--no-winograd", options->no_winograd, "dense layers of MODEL run direct");
  verb->add_flag("--no-depth-first", options->no_depth_first, "every layer runs all images of a batch before the next one");
  add_common(*verb, options->common);
  add_weight_storage(*verb, options->common);
  add_precision(*verb, options->common);
  add_tuning(*verb, options->common);
  verb->callback([options, batch] {
    if (options->figure.empty()) return run_bench(*options);
    std::optional<std::int64_t> pictures;
    if (batch->count() > 0) pictures = parse_list(options->batches, "--batch").front();
    run_figure(options->figure, options->common, pictures, options->rounds);
  });
}

}  // namespace wins::cli
