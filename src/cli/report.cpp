// wins report: run records to one self-contained HTML file.
#include <fmt/core.h>

#include "verbs.hpp"
#include "workflow.hpp"
#include "wins/base/files.hpp"
#include "wins/report/report.hpp"

namespace wins::cli {
namespace {

struct Options {
  Common common;
  std::vector<std::string> runs;
  std::string output;
};

void run_report(const Options& options) {
  require_writable(options.output);
  std::vector<report::Run> runs;
  for (const std::string& file : options.runs) runs.push_back({file, read_file(file, std::uintmax_t{1} << 28)});
  write_file_atomically(options.output, report::html_report(runs));
  fmt::print("wrote {}\n", options.output);
  Json record = run_header(options.common);
  record["runs"] = options.runs;
  record["output"] = options.output;
  write_json(options.common, record);
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("report", "run records (JSON) to one self-contained HTML file");
  verb->add_option("RUN", options->runs, "records written by --json or by wins demo")->required();
  verb->add_option("-o,--output", options->output, "HTML file to write")->required();
  add_common(*verb, options->common);
  verb->callback([options] { run_report(*options); });
}

}  // namespace wins::cli
