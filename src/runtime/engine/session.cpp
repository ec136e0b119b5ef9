// Session: a graph, a backend, and the plans made so far.
#include "wins/runtime/session.hpp"

#include <algorithm>
#include <cmath>

#include "backends.hpp"
#include "inputs.hpp"
#include "plan_cache.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::runtime {
namespace {

void check_options(const SessionOptions& options) {
  require(options.threads >= 0, "threads: {} is negative", options.threads);
  require(std::isfinite(options.error_bound) && options.error_bound > 0, "error_bound: {} is not positive",
          options.error_bound);
  require(options.precision == Precision::fp32 || options.backend == "cuda", "precision: backend '{}' computes in fp32 alone",
          options.backend);
  const int m = options.force_m;
  require(m == 0 || m == 2 || m == 4 || m == 6, "force_m: {} is not one of 0, 2, 4, 6", m);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

bool is_static(const graph::Graph& graph) {
  return std::all_of(graph.inputs.begin(), graph.inputs.end(), [&](graph::ValueId id) {
    const auto& shape = graph.value(id).shape;
    return shape && std::none_of(shape->begin(), shape->end(), [](std::int64_t extent) { return extent < 0; });
  });
}

}  // namespace

struct Session::State {
  explicit State(Source from) : source(std::move(from)), cache(source) {}
  Source source;
  PlanCache cache;

  /// Compiles for the default shapes, so that `open` reports nodes without a kernel.
  void try_default_shapes() {
    std::vector<Shape> shapes;
    try {
      shapes = graph::default_input_shapes(source.graph, 1);
      graph::specialize(source.graph, shapes);
    } catch (const Error&) {
      // A guess that does not fit a dynamic network says nothing; a fixed shape must fit.
      if (is_static(source.graph)) throw;
      return;
    }
    Lease lease(cache.find(shapes));
  }
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Session Session::open(graph::Graph graph, const SessionOptions& options) {
  check_options(options);
  auto backend = find_backend(options.backend);
  graph::validate(graph);
  graph::optimize_for_inference(graph);
  auto weights = backend->make_cache();
  SessionOptions resolved = options;
  if (resolved.threads == 0) resolved.threads = default_threads();
  auto state = std::make_unique<State>(
      Source{std::move(graph), std::move(resolved), std::move(backend), std::move(weights)});
  state->try_default_shapes();
  return Session(std::move(state));
}

std::vector<Tensor> Session::run(const std::vector<Tensor>& inputs) {
  const Lease lease(state_->cache.find(check_inputs(state_->source.graph, inputs)));
  return lease->run(inputs);
}

void Session::enqueue(const std::vector<Shape>& input_shapes, const std::vector<const void*>& inputs,
                      const std::vector<void*>& outputs, void* stream) {
  check_input_shapes(state_->source.graph, input_shapes);
  require(inputs.size() == input_shapes.size() && outputs.size() == state_->source.graph.outputs.size(),
          "the network has {} inputs and {} outputs, not {} and {}", input_shapes.size(), state_->source.graph.outputs.size(),
          inputs.size(), outputs.size());
  const Lease lease(state_->cache.find(input_shapes));
  lease->enqueue(inputs, outputs, stream);
}

Plan Session::plan(const std::vector<Shape>& input_shapes) {
  check_input_shapes(state_->source.graph, input_shapes);
  const Lease lease(state_->cache.find(input_shapes));
  return lease->plan();
}

Plan Session::profile(const std::vector<Tensor>& inputs, int rounds) {
  require(rounds > 0, "profile: {} rounds are not possible", rounds);
  const Lease lease(state_->cache.find(check_inputs(state_->source.graph, inputs)));
  Plan plan = lease->plan();
  std::vector<std::vector<double>> times(plan.layers.size());
  std::vector<Tensor> outputs;
  for (int round = 0; round < rounds; ++round) {
    const std::vector<double> measured = lease->run_timed(inputs, outputs);
    require(measured.size() == times.size(), "backend '{}' timed {} of {} layers", state_->source.options.backend,
            measured.size(), times.size());
    for (std::size_t i = 0; i < times.size(); ++i) times[i].push_back(measured[i]);
  }
  for (std::size_t i = 0; i < times.size(); ++i) plan.layers[i].measured_us = median(times[i]);
  return plan;
}

const graph::Graph& Session::graph() const { return state_->source.graph; }
const SessionOptions& Session::options() const { return state_->source.options; }

}  // namespace wins::runtime
