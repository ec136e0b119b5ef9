#include "refit_flags.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "wins/base/table.hpp"

namespace wins::cli {

void add_refit_flags(CLI::App& app, RefitFlags& flags) {
  app.add_flag("--no-refit", flags.off, "leave the kept weights as they are");
  app.add_option("--ridge", flags.options.ridge,
                 "refit: pull towards the old weights, share of the mean diagonal")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--memory", flags.memory_gib,
                 "refit, gram, obs: GiB for activations and statistics; fewer pictures are used to keep it")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--refit-checkpoint", flags.checkpoint,
                 "refit: save FILE after each layer; a run of the same job goes on from it")
      ->type_name("FILE");
  app.add_flag("!--winograd-only", flags.options.all_layers,
               "refit: leave layers that are not pruned (other convolutions, fully connected)");
  app.add_flag("!--no-residual", flags.options.correct_residual, "refit: leave the error of the shortcut alone");
  app.add_option("--activation-rounds", flags.options.activation_rounds,
                 "refit: solutions that count only what the activation lets through; 0: targets in front of it")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
}

std::optional<refit::RefitOptions> resolve(const RefitFlags& flags, const Common& common) {
  if (flags.off) return std::nullopt;
  refit::RefitOptions options = flags.options;
  options.threads = common.threads;
  options.seed = common.seed;
  options.memory_limit = memory_limit(flags);
  return options;
}

std::size_t memory_limit(const RefitFlags& flags) {
  return static_cast<std::size_t>(flags.memory_gib * 1024 * 1024 * 1024);
}

std::string fit_table(const std::vector<refit::LayerFit>& layers) {
  Table table({"layer", "tiles", "output error %", "refitted %", "iterations", "note"});
  for (const refit::LayerFit& fit : layers) {
    table.add({fit.layer, std::to_string(fit.tiles), fmt::format("{:.2f}", fit.error_before * 100),
               fmt::format("{:.2f}", fit.error_after * 100), std::to_string(fit.iterations),
               fit.refitted ? "" : fit.reason});
  }
  return table.text();
}

Json to_json(const std::vector<refit::LayerFit>& layers) {
  Json rows = Json::array();
  for (const refit::LayerFit& fit : layers) {
    rows.push_back({{"layer", fit.layer},
                    {"refitted", fit.refitted},
                    {"reason", fit.reason},
                    {"error_before", fit.error_before},
                    {"error_after", fit.error_after},
                    {"iterations", fit.iterations},
                    {"tiles", fit.tiles}});
  }
  return rows;
}

}  // namespace wins::cli
