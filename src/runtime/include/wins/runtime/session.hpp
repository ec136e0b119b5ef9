// Open a graph on a backend, look at its plan, run it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wins/base/exception.hpp"
#include "wins/graph/graph.hpp"

namespace wins::runtime {

/// How packed weights lie in memory; arithmetic is float32 whatever it is.
enum class WeightStorage {
  f32,
  bf16,  ///< of fully connected, 1x1 and F(2,3) or F(4,3) Winograd layers in half the memory, rounded to
         ///< 8 significant bits; other layers keep float32
};

/// What a backend multiplies; sums are float32, and inputs and outputs of the network stay float32.
enum class Precision {
  fp32,
  tf32,  ///< cuda alone: factors rounded to 10 bits of fraction
  fp16,  ///< cuda alone: activations and weights in 16 bits
  bf16,  ///< cuda alone
};

struct SessionOptions {
  std::string backend = "cpu";  ///< "cpu", "ref", "cuda"
  int threads = 0;              ///< 0: the cores this process may use
  /// Dense 3x3 stride-1 convolutions may run as Winograd. Pruned layers always do.
  bool winograd = true;
  /// Largest relative L2 error, against float64, that choosing a Winograd tile for a dense
  /// convolution may cause in one layer.
  double error_bound = 1e-5;
  /// Upper bound in bytes for activations + workspace of one plan; 0 = no bound.
  std::size_t memory_limit = 0;
  /// Force the tile of dense Winograd layers (2, 4, 6); 0 = by cost.
  int force_m = 0;
  WeightStorage weight_storage = WeightStorage::f32;
  Precision precision = Precision::fp32;
  /// The first part of a network may run one image after the other where its activations are larger than the caches; it is
  /// not tuned then. Not with `force_kernel`.
  bool depth_first = true;
  /// Convolutions run by the kernel, and cut as, was fastest on this machine: times come from a cache
  /// file, and what it lacks is measured, largest layers first, for less than a second a plan. A
  /// session keeps what it decided; another one may decide otherwise, with other rounding.
  bool tune = false;
  /// The cache file; empty: ${XDG_CACHE_HOME:-~/.cache}/wins/tuning.txt. One that cannot be used costs
  /// a warning on standard error.
  std::string tune_cache = {};
  /// Run by this kernel ("cpu:winograd_f2_rows", or LayerPlan::choice) every node whose list has it, unless it refuses;
  /// for benchmarks and tests. Empty: by cost.
  std::string force_kernel = {};
};

/// One line of a plan.
struct LayerPlan {
  std::string node;
  std::string kernel;   ///< e.g. "cpu:winograd_f2_rows_avx3"
  std::string problem;  ///< shapes in a form that a benchmark can run again
  /// Better-ranked kernels that did not take it, and why.
  std::vector<std::pair<std::string, std::string>> refused;
  double predicted_us = 0;
  double measured_us = 0;  ///< median over profiled runs; 0 when never profiled
  std::size_t workspace_bytes = 0;
  std::size_t weight_bytes = 0;  ///< packed
  std::vector<std::string> inside = {};  ///< other nodes that this step runs too, in order
  std::string choice = {};  ///< the kernel, and how it is cut where that was chosen: "cpu:winograd_f2_rows/4"
  double tuned_us = 0;  ///< alone, when it was chosen by measuring; 0 when the cost model chose
};

struct Plan {
  std::vector<LayerPlan> layers;
  std::size_t arena_bytes = 0;      ///< activations, after reuse
  std::size_t workspace_bytes = 0;  ///< scratch shared by all layers, all threads
  std::size_t weight_bytes = 0;     ///< packed weights
  /// Aligned table for people.
  std::string text() const;
};

/// A network ready to run. Thread-safe: `run` may be called from several threads at once (each
/// concurrent run has its own arena). Plans per concrete input shape are kept (the last few).
class Session {
 public:
  /// Optimises a copy of the graph and checks that every node has a kernel.
  /// Throws `Error` listing every node that has none.
  static Session open(graph::Graph graph, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// Inputs in the graph's order; outputs in the graph's order. float32 NCHW.
  /// Throws `Error` naming the input when a shape or type does not fit.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);

  /// Enqueues one run on a stream of the caller's (cuda: a cudaStream_t, 0 is the default one) and returns. Inputs and
  /// outputs are float32, row-major, in device memory, 16-byte aligned. The first run with other pointers
  /// than the last one records them, which takes longer. Throws `Error` as `run` does, and when the backend runs on the
  /// host.
  void enqueue(const std::vector<Shape>& input_shapes, const std::vector<const void*>& inputs,
               const std::vector<void*>& outputs, void* stream);

  /// Plan for these input shapes (made when needed).
  Plan plan(const std::vector<Shape>& input_shapes);

  /// Runs `rounds` times and returns the plan with `measured_us` (median per layer) filled.
  Plan profile(const std::vector<Tensor>& inputs, int rounds);

  const graph::Graph& graph() const;  ///< as optimised
  const SessionOptions& options() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Backends built into this binary: {"cpu", "ref"}, with "cuda" when built.
std::vector<std::string> backends();

}  // namespace wins::runtime
