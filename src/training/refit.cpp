#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "device.hpp"
#include "refit_backend.hpp"
#include "wins/base/error.hpp"
#include "wins/training/training.hpp"

namespace wins::training {

namespace {

/// Input values of one batch: small pictures go to the device many at a time.
constexpr std::int64_t kBatchValues = 1 << 21;
constexpr std::size_t kMostMerged = 8;

/// Whether a network takes batches of any size.
bool takes_any_batch(const graph::Graph& graph) {
  const std::optional<Shape>& shape = graph.value(graph.inputs.at(0)).shape;
  return shape && !shape->empty() && shape->at(0) < 0;
}

/// The same pictures in fewer batches, all of one size, where that leaves none out.
std::vector<Tensor> merged(const std::vector<Tensor>& batches) {
  const auto alike = std::find_if(batches.begin(), batches.end(),
                                  [&](const Tensor& batch) { return batch.shape() != batches[0].shape(); });
  const auto whole = static_cast<std::size_t>(alike - batches.begin());
  std::size_t each = 1;
  for (std::size_t n = 2; n <= kMostMerged && !batches.empty(); ++n) {
    if (whole % n == 0 && static_cast<std::int64_t>(n) * batches[0].size() <= kBatchValues) each = n;
  }
  if (each == 1) return batches;
  std::vector<Tensor> result;
  for (std::size_t b = 0; b < whole; b += each) {
    Shape shape = batches[0].shape();
    shape[0] *= static_cast<std::int64_t>(each);
    Tensor tensor(DType::f32, shape);
    auto to = tensor.mutable_data<float>().begin();
    for (std::size_t i = b; i < b + each; ++i) to = std::ranges::copy(batches[i].data<float>(), to).out;
    result.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace

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
    const bool any = takes_any_batch(pruned) && takes_any_batch(dense);
    return refit::refit_with(backend, pruned, dense, any ? merged(batches) : batches, options);
  } catch (const c10::Error& error) {
    fail("refit on {}: {}", device, libtorch_message(error));
  }
}

}  // namespace wins::training
