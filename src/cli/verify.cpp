// wins verify: each layer against the float64 reference.
#include <fmt/core.h>

#include <algorithm>

#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/table.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/runtime/verify.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  std::string model;
  std::string backend = "cpu";
  std::int64_t batch = 1;
  double bound = 2e-4;
};

void run_verify(const Options& options) {
  const graph::Graph model = onnx::load(options.model);
  const std::vector<Tensor> inputs =
      random_inputs(model, options.model, input_shapes(model, options.batch), options.common.seed);
  const auto checks =
      runtime::verify(model, inputs, session_options(options.common, options.backend), options.bound);
  Json record = run_header(options.common);
  record["model"] = options.model;
  record["bound"] = options.bound;
  record["layers"] = Json::array();
  Table table({"layer", "kernel", "relative L2", "max error", "verdict"});
  std::size_t failed = 0;
  for (const runtime::LayerCheck& check : checks) {
    failed += check.passed ? 0 : 1;
    table.add({check.node, check.kernel, fmt::format("{:.2e}", check.relative_l2), fmt::format("{:.2e}", check.max_error),
               check.passed ? "ok" : "OVER THE BOUND"});
    record["layers"].push_back({{"name", check.node}, {"kernel", check.kernel}, {"relative_l2", check.relative_l2},
                                {"max_error", check.max_error}, {"passed", check.passed}});
  }
  fmt::print("{}{} of {} layers within relative L2 {:.1e} of float64 on backend {}\n", table.text(),
             checks.size() - failed, checks.size(), options.bound, options.backend);
  record["failed"] = failed;
  write_json(options.common, record);
  require(failed == 0, "{}: {} layers exceed the bound {:.1e} on backend {}", options.model, failed, options.bound,
          options.backend);
}

}  // namespace

void add_verify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("verify", "layer by layer against the float64 reference; exit 1 over the bound");
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("--backend", options->backend, "cpu, ref or cuda")->capture_default_str();
  verb->add_option("--batch", options->batch, "batch")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--bound", options->bound, "largest relative L2 error of a layer")
      ->check(CLI::PositiveNumber)->capture_default_str();
  add_common(*verb, options->common);
  add_weight_storage(*verb, options->common);
  add_precision(*verb, options->common);
  add_tuning(*verb, options->common);
  verb->callback([options] { run_verify(*options); });
}

}  // namespace wins::cli
