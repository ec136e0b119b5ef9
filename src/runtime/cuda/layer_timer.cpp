#include "layer_timer.hpp"

#include <algorithm>
#include <limits>

#include "captured_run.hpp"
#include "event.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kBursts = 5, kRunsOfBurst = 8;
/// Every byte of the inputs: about 1 as float16, 0.01 as float32 or bfloat16.
constexpr int kFill = 0x3C;

/// Memory of one layer alone.
class LayerMemory {
 public:
  LayerMemory(const Problem& problem, const Implementation& implementation, cudaStream_t stream) : workspace_(implementation.workspace_bytes) {
    for (std::size_t i = 0; i < problem.inputs.size(); ++i) {
      const bool read = problem.has_input(i) && (implementation.reads.empty() || implementation.reads.at(i));
      const bool host = i == 0 && implementation.reads_host;
      const std::int64_t bytes = host ? element_count(problem.input_shape(0)) * 4 : extent_of(problem.inputs[i]) * problem.env.element_bytes();
      buffers_.emplace_back(read ? static_cast<std::size_t>(bytes) : 0);
      if (read) check(cudaMemsetAsync(buffers_.back().data(), kFill, buffers_.back().size(), stream), "memory");
      inputs_.push_back(buffers_.back().data());
    }
    for (const Layout& output : problem.outputs) {
      buffers_.emplace_back(static_cast<std::size_t>(extent_of(output) * problem.env.element_bytes()));
      outputs_.push_back(buffers_.back().data());
    }
  }

  Arguments arguments(cudaStream_t stream) const { return {inputs_.data(), outputs_.data(), workspace_.data(), stream}; }

 private:
  std::vector<DeviceBuffer> buffers_;
  DeviceBuffer workspace_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace

double time_layer(const Problem& problem, const Implementation& implementation) {
  const Stream stream;
  const LayerMemory memory(problem, implementation, stream.get());
  const Arguments arguments = memory.arguments(stream.get());
  implementation.step(arguments);  // libraries set themselves up
  check(cudaStreamSynchronize(stream.get()), "a kernel that is timed");
  CapturedRun burst;  // enqueued one by one, short kernels would wait for the host
  burst.capture(stream.get(), {}, [&] {
    for (int run = 0; run < kRunsOfBurst; ++run) implementation.step(arguments);
  });
  burst.launch(stream.get());
  double least = std::numeric_limits<double>::infinity();
  for (int b = 0; b < kBursts; ++b) {
    least = std::min(least, time_on_stream(stream.get(), [&] { burst.launch(stream.get()); }) / kRunsOfBurst);
  }
  return least;
}

}  // namespace wins::runtime::cuda
