// wins eval: top-1 and top-5 through a backend.
#include <fmt/core.h>

#include <cmath>

#include "evaluation.hpp"
#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  DataFlags data;
  std::string model;
  std::string backend = "cpu";
  std::int64_t batch = 64;
};

void run_eval(const Options& options) {
  const graph::Graph model = onnx::load(options.model);
  const OpenedData data(options.data, options.common.seed);
  const data::Preprocess preprocess = preprocess_for(model, options.model, options.data);
  const Forward network = open_forward(model, session_options(options.common, options.backend), "cpu");
  const Accuracy accuracy = evaluate(network, data.get(), preprocess, "evaluating", options.batch);
  require(!std::isnan(accuracy.top1), "{}: the pictures have no labels", options.data.path);
  fmt::print("{}: top-1 {:.2f} %, top-5 {:.2f} % on {} pictures ({} broken), {} split of {}\n", options.model,
             accuracy.top1 * 100, accuracy.top5 * 100, accuracy.pictures, accuracy.broken, options.data.split,
             options.data.path);
  Json record = run_header(options.common);
  record["model"] = options.model;
  record["data"] = options.data.path;
  record["split"] = options.data.split;
  record["backend"] = options.backend;
  record["top1"] = accuracy.top1;
  record["top5"] = accuracy.top5;
  record["pictures"] = accuracy.pictures;
  record["broken"] = accuracy.broken;
  write_json(options.common, record);
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("eval", "top-1 and top-5 on labelled pictures");
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("--backend", options->backend, "cpu, ref or cuda")->capture_default_str();
  verb->add_option("--batch", options->batch, "pictures a run")->check(CLI::Range(1, 65536))->capture_default_str();
  add_data_flags(*verb, options->data, "test", true);
  add_common(*verb, options->common);
  add_weight_storage(*verb, options->common);
  add_precision(*verb, options->common);
  add_tuning(*verb, options->common);
  verb->callback([options] { run_eval(*options); });
}

}  // namespace wins::cli
