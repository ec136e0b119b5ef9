#include <ATen/core/grad_mode.h>

#include "device.hpp"
#include "refit_backend.hpp"
#include "wins/base/error.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

void check_device(const std::string& device) {
  open_device(device);
}

refit::RefitResult refit(const graph::Graph& pruned, const graph::Graph& dense, const std::vector<Tensor>& batches,
                         const refit::RefitOptions& options, const std::string& device) {
  const at::Device place = open_device(device);
  use_threads(options.threads);
  const c10::InferenceMode guard;
  try {
    RefitBackend backend(options, place);
    return refit::refit_with(backend, pruned, dense, batches, options);
  } catch (const c10::Error& error) {
    fail("refit on {}: {}", device, libtorch_message(error));
  }
}

}  // namespace wins::training
