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
  std::string dense;
  double bound = 0;  // 0: of the precision
};

/// How errors grow over the network, beside the dense network under the same options and inputs.
void compare_with_dense(const Options& options, const runtime::SessionOptions& session, const runtime::VerifyBounds& bounds,
                        const runtime::LayerCheck& network, Json& record) {
  const graph::Graph dense = onnx::load(options.dense);
  const std::vector<Tensor> inputs = random_inputs(dense, options.dense, input_shapes(dense, options.batch), options.common.seed);
  const runtime::LayerCheck check = runtime::verify_network(dense, inputs, session, bounds.network);
  fmt::print("end to end {:.2e}, {} {:.2e}: {:.2f} times as much\n", network.relative_l2, options.dense, check.relative_l2,
             network.relative_l2 / check.relative_l2);
  record["dense"] = {{"model", options.dense}, {"relative_l2", check.relative_l2}, {"max_error", check.max_error}};
}

void run_verify(const Options& options) {
  const graph::Graph model = onnx::load(options.model);
  const std::vector<Tensor> inputs =
      random_inputs(model, options.model, input_shapes(model, options.batch), options.common.seed);
  const runtime::SessionOptions session = session_options(options.common, options.backend);
  const runtime::VerifyBounds bounds = options.bound > 0 ? runtime::VerifyBounds{options.bound, options.bound} : runtime::verify_bounds(session);
  const auto checks = runtime::verify(model, inputs, session, bounds);
  Json record = run_header(options.common);
  record["model"] = options.model;
  record["bound"] = bounds.layer;
  record["network_bound"] = bounds.network;
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
  fmt::print("{}{} of {} layers within relative L2 {:.1e} (the network: {:.1e}) of float64 on backend {}\n", table.text(),
             checks.size() - failed, checks.size(), bounds.layer, bounds.network, options.backend);
  if (!options.dense.empty()) compare_with_dense(options, session, bounds, checks.back(), record);
  record["failed"] = failed;
  write_json(options.common, record);
  require(failed == 0, "{}: {} layers exceed the bound {:.1e} on backend {}", options.model, failed, bounds.layer,
          options.backend);
}

}  // namespace

void add_verify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("verify", "layer by layer against the float64 reference; exit 1 over the bound");
  verb->add_option("MODEL", options->model, "ONNX file")->required();
  verb->add_option("--backend", options->backend, "cpu, ref or cuda")->capture_default_str();
  verb->add_option("--batch", options->batch, "batch")->check(CLI::Range(1, 4096))->capture_default_str();
  verb->add_option("--bound", options->bound, "largest relative L2 error of a layer, and of the network; default: what rounding costs in the precision")
      ->check(CLI::PositiveNumber);
  verb->add_option("--dense", options->dense, "the dense network's ONNX file: its error end to end in the same precision, beside MODEL's");
  add_common(*verb, options->common);
  add_weight_storage(*verb, options->common);
  add_precision(*verb, options->common);
  add_tuning(*verb, options->common);
  verb->callback([options] { run_verify(*options); });
}

}  // namespace wins::cli
