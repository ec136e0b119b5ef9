// Moments in a stream.
#pragma once

#include "device.hpp"

namespace wins::runtime::cuda {

/// An event in a stream.
class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }
  void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "an event"); }
  /// While the stream is captured: each launch of the graph records it.
  void record_in_graph(cudaStream_t stream) const { check(cudaEventRecordWithFlags(event_, stream, cudaEventRecordExternal), "an event"); }
  double microseconds_since(const Event& start) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "an event's time");
    return static_cast<double>(milliseconds) * 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Microseconds of what `enqueue` puts on the stream, which then is idle.
template <class Enqueue>
double time_on_stream(cudaStream_t stream, const Enqueue& enqueue) {
  const Event start, end;
  start.record(stream);
  enqueue();
  end.record(stream);
  check(cudaStreamSynchronize(stream), "what is timed");
  return end.microseconds_since(start);
}

}  // namespace wins::runtime::cuda
