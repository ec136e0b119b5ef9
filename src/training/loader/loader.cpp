// The training room of the tool: opens the module that holds libtorch when something is to be trained. Linked in,
// libtorch would cost every run 0.2 s and 100 MB, `wins info` too.
#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "module.hpp"
#include "wins/base/error.hpp"
#include "wins/version.hpp"

namespace wins::training {
namespace {

namespace fs = std::filesystem;

/// Beside the tool in a build folder; in the library folder of an installation.
fs::path module_path() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  require(!error, "training: cannot tell where this program lies: {}", error.message());
  const std::array places{folder / WINS_TRAINING_FILE, folder / WINS_TRAINING_INSTALLED / WINS_TRAINING_FILE};
  for (const fs::path& place : places) {
    if (fs::exists(place, error)) return place.lexically_normal();
  }
  fail("training: {} is missing (neither {} nor {})", WINS_TRAINING_FILE, places[0].string(),
       places[1].lexically_normal().string());
}

const Module& open() {
  const std::string path = module_path().string();
  // Never closed: tensors and errors that it made may outlive every call.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  require(library != nullptr, "training: cannot open {}: {}", path, library == nullptr ? ::dlerror() : "");
  using Entry = const Module* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(library, kModuleSymbol));
  require(entry != nullptr, "training: {} is not a part of wins", path);
  const Module& module = *entry();
  require(std::string_view(module.version) == kVersion, "training: {} is of version {}, this program of {}", path,
          module.version, kVersion);
  return module;
}

const Module& module() {
  static const Module& opened = open();
  return opened;
}

}  // namespace

bool available() { return true; }

TrainResult train(const graph::Graph& graph, const data::Dataset& dataset, const data::Preprocess& preprocess,
                  const TrainOptions& options, const graph::Graph* teacher, const StepCallback& on_step) {
  return module().train_graph(graph, dataset, preprocess, options, teacher, on_step);
}

graph::Graph recalibrate_batch_norm(const graph::Graph& graph, const data::Dataset& dataset,
                                    const data::Preprocess& preprocess, const TrainOptions& options) {
  return module().recalibrate(graph, dataset, preprocess, options);
}

std::vector<Tensor> forward(const graph::Graph& graph, const std::vector<Tensor>& inputs, const std::string& device) {
  return module().run_forward(graph, inputs, device);
}

Forward open_forward(const graph::Graph& graph, const std::string& device) { return module().open(graph, device); }

void check_device(const std::string& device) { module().check(device); }

refit::RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                         const refit::RefitOptions& options, const std::string& device) {
  return module().refit_network(pruned, dense, batches, options, device);
}

}  // namespace wins::training
