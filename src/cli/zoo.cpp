// wins zoo: a well-known architecture with random weights.
#include <fmt/core.h>

#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/data/loader.hpp"
#include "wins/graph/zoo.hpp"
#include "wins/onnx/onnx.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  std::string arch;
  std::string output;
  std::string input = "3x224x224";
  std::int64_t classes = 1000;
  std::int64_t base_channels = 0;
};

void run_zoo(const Options& options) {
  require_writable(options.output);
  const auto extents = parse_extents(options.input, "--input", 3);
  graph::ZooOptions zoo;
  zoo.classes = options.classes;
  zoo.channels = extents[0];
  zoo.height = extents[1];
  zoo.width = extents[2];
  zoo.base_channels = options.base_channels;
  zoo.seed = options.common.seed;
  const graph::Graph model = graph::zoo(options.arch, zoo);
  onnx::save(model, options.output);
  fmt::print("{}: {}, {} nodes, input {}, {} classes, random weights (seed {})\n", options.output, options.arch,
             model.nodes.size(), options.input, options.classes, options.common.seed);
  Json record = run_header(options.common);
  record["model"] = options.output;
  record["arch"] = options.arch;
  record["nodes"] = model.nodes.size();
  write_json(options.common, record);
}

}  // namespace

void add_zoo(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("zoo", "write a well-known architecture with random weights");
  std::string names;
  for (const std::string& name : graph::zoo_names()) names += (names.empty() ? "" : " ") + name;
  verb->add_option("ARCH", options->arch, names)->required();
  verb->add_option("-o,--output", options->output, "ONNX file to write")->required();
  verb->add_option("--classes", options->classes, "number of classes")->check(CLI::Range(1, 1000000))->capture_default_str();
  verb->add_option("--input", options->input, "channels x height x width")->capture_default_str();
  verb->add_option("--base-channels", options->base_channels, "channels of the first stage of resnet8 and resnet14 (16)")
      ->check(CLI::Range(1, 4096));
  add_common(*verb, options->common);
  verb->callback([options] { run_zoo(*options); });
}

}  // namespace wins::cli
