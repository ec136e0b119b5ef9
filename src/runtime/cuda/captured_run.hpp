// What was enqueued once, as a CUDA graph that can be launched again.
#pragma once

#include <vector>

#include "device.hpp"

namespace wins::runtime::cuda {

/// A captured run, and the pointers that it was captured for.
class CapturedRun {
 public:
  CapturedRun() = default;
  ~CapturedRun() { reset(); }
  CapturedRun(const CapturedRun&) = delete;
  CapturedRun& operator=(const CapturedRun&) = delete;

  void reset() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
    graph_ = nullptr;
  }

  /// Captures what `enqueue` puts on `stream`, for these pointers.
  template <class Enqueue>
  void capture(cudaStream_t stream, std::vector<const void*> pointers, const Enqueue& enqueue) {
    reset();
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture of a CUDA graph");
    cudaGraph_t graph = nullptr;
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "capture of a CUDA graph");
    const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "a CUDA graph");
    pointers_ = std::move(pointers);
  }

  bool is_for(const std::vector<const void*>& pointers) const { return graph_ != nullptr && pointers_ == pointers; }
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(graph_, stream), "a run"); }

 private:
  cudaGraphExec_t graph_ = nullptr;
  std::vector<const void*> pointers_;
};

}  // namespace wins::runtime::cuda
