// What the shared module of the training room hands to the tool that opens it.
#pragma once

#include "wins/training/training.hpp"

namespace wins::training {

/// The room's functions. C++ types cross the border, so both sides must be of one build: `version`
/// comes first and is compared before anything else is used.
struct Module {
  const char* version;
  decltype(&train) train_graph;
  decltype(&recalibrate_batch_norm) recalibrate;
  decltype(&forward) run_forward;
  decltype(&open_forward) open;
  decltype(&refit) refit_network;
  decltype(&check_device) check;
};

/// The symbol: a function `const Module*()`.
inline constexpr const char* kModuleSymbol = "wins_training_module";

}  // namespace wins::training
