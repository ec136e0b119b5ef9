// The way into the shared module of the training room.
#include "../loader/module.hpp"
#include "wins/version.hpp"

extern "C" const wins::training::Module* wins_training_module() {
  using namespace wins::training;
  static const Module module{wins::kVersion, &train, &recalibrate_batch_norm, &forward, &open_forward, &refit,
                             &check_device};
  return &module;
}
