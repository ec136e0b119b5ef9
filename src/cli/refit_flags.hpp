// Flags of the refit, and the refit as a step that verbs share.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "wins/refit/refit.hpp"
#include "workflow.hpp"

namespace wins::cli {

struct RefitFlags {
  refit::RefitOptions options;
  bool off = false;       ///< --no-refit
  double memory_gib = 3;  ///< activations and statistics
  std::string checkpoint;
};

/// Adds the flags; the values in `flags` are the defaults that help shows.
void add_refit_flags(CLI::App& app, RefitFlags& flags);

/// Options ready for refit::refit, or nothing with --no-refit.
std::optional<refit::RefitOptions> resolve(const RefitFlags& flags, const Common& common);

/// `--memory` in bytes.
std::size_t memory_limit(const RefitFlags& flags);

/// The fits as a table for people, and as JSON.
std::string fit_table(const std::vector<refit::LayerFit>& layers);
Json to_json(const std::vector<refit::LayerFit>& layers);

}  // namespace wins::cli
