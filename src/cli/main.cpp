// wins: the command line. Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "common.hpp"
#include "verbs.hpp"
#include "wins/base/error.hpp"
#include "wins/version.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

int report_error(const char* message, int status) {
  fmt::print(stderr, "wins: error: {}\n", message);
  return status;
}

/// CLI11 prints help and version itself; its parse errors become one line and status 2.
int handle_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  fmt::print(stderr, "wins: usage: {} (see wins --help)\n", error.what());
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away (`wins info m.onnx | head -1`) ends us quietly, like any other tool.
  std::signal(SIGPIPE, SIG_DFL);
  wins::cli::remember_command(argc, argv);

  CLI::App app{"Prune CNNs in the Winograd domain, fine-tune them there, and run them fast."};
  app.name("wins");
  app.set_version_flag("--version", wins::kVersion);
  app.require_subcommand(1);
  using namespace wins::cli;
  for (const auto add : {add_info, add_zoo, add_train, add_prune, add_finetune, add_eval, add_run, add_bench,
                         add_verify, add_report, add_demo}) {
    add(app);
  }

  try {
    app.parse(argc, argv);
    if (std::fflush(stdout) != 0) return report_error("standard output: cannot write", kFailed);
    return 0;
  } catch (const CLI::ParseError& error) {
    return handle_parse_error(app, error);
  } catch (const wins::UsageError& error) {
    fmt::print(stderr, "wins: usage: {}\n", error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    return report_error("out of memory", kFailed);
  } catch (const std::exception& error) {
    return report_error(error.what(), kFailed);
  }
}
