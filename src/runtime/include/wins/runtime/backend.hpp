// What a backend implements; the Session drives it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "wins/runtime/session.hpp"

namespace wins::runtime {

/// A graph compiled for concrete shapes. `run` is called by one thread at a time per object;
/// the Session keeps one object per concurrent caller and shape. Activations and workspace are
/// allocated by the first run, not by `compile`: the Session checks the plan's sizes against its
/// memory limit in between.
class Executable {
 public:
  virtual ~Executable() = default;
  virtual std::vector<Tensor> run(const std::vector<Tensor>& inputs) = 0;
  virtual const Plan& plan() const = 0;
  /// One run with every layer timed: microseconds, in the order of plan().layers.
  virtual std::vector<double> run_timed(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) = 0;
  /// `Session::enqueue`. Throws `Error` unless the backend has memory of its own.
  virtual void enqueue(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, void* stream);
};

/// Weights packed once per session, shared by all its executables (key: node name). Opaque here.
class WeightCache {
 public:
  virtual ~WeightCache() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  /// Empty when usable on this machine, else the reason (no driver, no such device).
  virtual std::string unavailable() const = 0;
  virtual std::shared_ptr<WeightCache> make_cache() const = 0;
  /// Memory that plans live in, bytes, where it is not the host's; else 0.
  virtual std::size_t memory_bytes() const { return 0; }
  /// `graph` is specialised. Throws `Error` listing every node no kernel takes. The kernel of a
  /// node depends on the node, its shapes and the options alone, so that `verify` can run it apart; with
  /// `tune` also on what was measured, and forcing the `choice` of its line gives the same.
  /// A Session never compiles in two threads at once.
  virtual std::unique_ptr<Executable> compile(const graph::Graph& graph, const SessionOptions& options,
                                              const std::shared_ptr<WeightCache>& cache) const = 0;
};

/// Each is defined by its backend's room, or by that room's stub (returns nullptr).
std::unique_ptr<Backend> make_ref_backend();
std::unique_ptr<Backend> make_cpu_backend();
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace wins::runtime
