// One function per verb: each adds its subcommand; the callback runs it.
#pragma once

#include <CLI/CLI.hpp>

namespace wins::cli {

void add_info(CLI::App& app);
void add_zoo(CLI::App& app);
void add_train(CLI::App& app);
void add_prune(CLI::App& app);
void add_finetune(CLI::App& app);
void add_eval(CLI::App& app);
void add_run(CLI::App& app);
void add_bench(CLI::App& app);
void add_verify(CLI::App& app);
void add_report(CLI::App& app);
void add_demo(CLI::App& app);

}  // namespace wins::cli
