// Times single layers, one line of text a case; see bench/layers/shapes.txt.
#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <exception>

#include "cost.hpp"
#include "timing.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/base/parallel.hpp"
#include "winograd_kernels.hpp"

namespace wins::layers {
namespace {

using Json = nlohmann::json;
using runtime::ConvProblem;

struct Options {
  std::vector<std::string> cases;
  std::string batch_file, json;
  int threads = 0, rounds = 30;
  bool all = false, check_only = false;
};

/// What one kernel did on one case.
struct Row {
  std::string kernel;
  Errors errors;
  bool passed = false;
  double multiplications = 0;
  Times times;
};

struct Machine {
  int threads;
  double peak_gflops;  ///< of all threads
};

Machine measure_machine(const Options& options) {
  const int threads = options.threads > 0 ? options.threads : default_threads();
  const runtime::cpu::Machine& one = runtime::cpu::machine(runtime::cpu::winograd_kernels().lanes);
  return {threads, one.flops_per_us * 1e-3 * threads};
}

std::vector<ConvProblem> problems_of(const Options& options) {
  std::vector<ConvProblem> problems;
  for (const std::string& text : options.cases) problems.push_back(runtime::parse_conv_problem(problem_in_line(text)));
  if (!options.batch_file.empty()) {
    const auto more = read_problems(options.batch_file);
    problems.insert(problems.end(), more.begin(), more.end());
  }
  require(!problems.empty(), "no case: give problems or --batch-file (see --help)");
  return problems;
}

/// The engine's choice first, with --all every other kernel that takes the layer.
std::vector<Contender> contenders_for(const Layer& layer, const Options& options, int threads) {
  std::vector<Contender> contenders;
  contenders.emplace_back(layer, threads);
  if (!options.all) return contenders;
  const std::string chosen = contenders.front().kernel();
  for (const std::string& name : kernel_names(layer)) {
    if (chosen.starts_with(name)) continue;
    Contender contender(layer, threads, name);
    if (const auto reason = contender.refusal()) {
      fmt::print("    not {}: {}\n", name, *reason);
    } else {
      contenders.push_back(std::move(contender));
    }
  }
  return contenders;
}

std::vector<Row> check(const ConvProblem& problem, const Layer& layer, std::vector<Contender>& contenders) {
  const Tensor reference = reference_output(layer);
  std::vector<Row> rows;
  for (Contender& contender : contenders) {
    Row row;
    row.kernel = contender.kernel();
    row.errors = errors_of(contender.run(), reference);
    row.passed = row.errors.within(error_bound(problem, row.kernel));
    row.multiplications = multiplications(layer, row.kernel);
    rows.push_back(row);
  }
  return rows;
}

/// Fills the rows' times; gives those of oneDNN's direct convolution on the dense shape.
Times time_rows(const ConvProblem& problem, const Options& options, std::vector<Contender>& contenders,
                std::vector<Row>& rows) {
  contenders.emplace_back(make_layer(dense_problem(problem)), measure_machine(options).threads, "cpu:direct");
  const std::vector<Times> times = time_in_turn(contenders, options.rounds);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].times = times[i];
  return times.back();
}

Json report(const ConvProblem& problem, const Row& row, const Times& direct, const Machine& machine) {
  Json json{{"kernel", row.kernel},
            {"relative_l2", row.errors.relative_l2},
            {"max_error", row.errors.max},
            {"passed", row.passed}};
  std::string speed;
  if (row.times.median_us > 0) {
    const double direct_gflops = 2e-3 * static_cast<double>(problem.direct_macs()) / row.times.median_us;
    const double real_gflops = 2e-3 * row.multiplications / row.times.median_us;
    json.update({{"median_us", row.times.median_us},
                 {"min_us", row.times.min_us},
                 {"direct_gflops", direct_gflops},
                 {"real_gflops", real_gflops},
                 {"of_peak", real_gflops / machine.peak_gflops},
                 {"direct_over_this", direct.median_us / row.times.median_us}});
    speed = fmt::format("{:10.1f} {:10.1f} {:9.1f} {:8.1f} {:6.1f} % {:6.2f}x", row.times.median_us, row.times.min_us,
                        direct_gflops, real_gflops, 100 * real_gflops / machine.peak_gflops,
                        direct.median_us / row.times.median_us);
  }
  fmt::print("    {:34} {:8.1e} {:8.1e} {}{}\n", row.kernel, row.errors.relative_l2, row.errors.max, speed,
             row.passed ? "" : "  WRONG");
  return json;
}

Json bench(const ConvProblem& problem, const Options& options, const Machine& machine, int& wrong) {
  const std::string text = text_of(problem);
  fmt::print("{}\n", text);
  const Layer layer = make_layer(problem);
  std::vector<Contender> contenders = contenders_for(layer, options, machine.threads);
  std::vector<Row> rows = check(problem, layer, contenders);
  const Times direct = options.check_only ? Times() : time_rows(problem, options, contenders, rows);
  Json kernels = Json::array();
  for (const Row& row : rows) {
    kernels.push_back(report(problem, row, direct, machine));
    wrong += !row.passed;
  }
  std::fflush(stdout);
  return {{"problem", text}, {"direct_us", direct.median_us}, {"kernels", kernels}};
}

int run(const Options& options) {
  const std::vector<ConvProblem> problems = problems_of(options);
  const Machine machine = measure_machine(options);
  fmt::print("{} threads, peak {:.0f} GFLOP/s\n", machine.threads, machine.peak_gflops);
  fmt::print("    {:34} {:>8} {:>8} {:>10} {:>10} {:>9} {:>8} {:>8} {:>7}\n", "kernel", "rel. L2", "max", "median us",
             "min us", "GFLOP/s", "real", "of peak", "direct");
  int wrong = 0;
  Json record{{"threads", machine.threads}, {"rounds", options.rounds}, {"peak_gflops", machine.peak_gflops}};
  for (const ConvProblem& problem : problems) record["cases"].push_back(bench(problem, options, machine, wrong));
  if (!options.json.empty()) write_file_atomically(options.json, record.dump(1) + "\n");
  if (wrong > 0) fmt::print(stderr, "bench_layers: {} kernels over their error bound\n", wrong);
  return wrong > 0 ? 1 : 0;
}

int parse_and_run(int argc, char** argv) {
  Options options;
  CLI::App app{"Single layers: each kernel checked against float64, then timed in turn with oneDNN's direct convolution"};
  app.add_option("cases", options.cases, "problems as a plan prints them, e.g. mb1ic64ih56oc64kh3ph1:m2:bias+relu");
  app.add_option("--batch-file", options.batch_file, "file of problems, one a line");
  app.add_flag("--all", options.all, "every kernel that takes the problem, not the engine's choice alone");
  app.add_flag("--check-only", options.check_only, "no timing");
  app.add_option("--threads", options.threads, "default: the cores this process may use")->check(CLI::Range(0, 1024));
  app.add_option("--rounds", options.rounds, "timed rounds")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--json", options.json, "write a record of this run to FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return run(options);
}

}  // namespace
}  // namespace wins::layers

int main(int argc, char** argv) {
  try {
    return wins::layers::parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_layers: {}\n", error.what());
    return 2;
  }
}
