// The reference as a backend: float sums, one kernel for each operator.
#include <algorithm>
#include <cctype>
#include <chrono>

#include "walk.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/backend.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime {
namespace {

/// "Conv" -> "ref:conv".
std::string kernel_name(const graph::Node& node) {
  std::string name = graph::op_name(node.op);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return "ref:" + name;
}

std::size_t bytes_of(const graph::Value& value) {
  return static_cast<std::size_t>(element_count(value.shape.value())) * size_of(value.dtype);
}

/// Most bytes of activations alive at once.
std::size_t peak_bytes(const graph::Graph& graph) {
  const std::vector<std::size_t> last = ref::last_uses(graph);
  std::vector<bool> alive(graph.values.size(), false);
  std::size_t now = 0;
  std::size_t peak = 0;
  const auto start = [&](graph::ValueId id) {
    if (id == graph::kNone || alive[static_cast<std::size_t>(id)] || graph.value(id).constant) return;
    alive[static_cast<std::size_t>(id)] = true;
    now += bytes_of(graph.value(id));
  };
  const auto end = [&](graph::ValueId id, std::size_t node) {
    if (id == graph::kNone || !alive[static_cast<std::size_t>(id)]) return;
    if (last[static_cast<std::size_t>(id)] > node) return;
    alive[static_cast<std::size_t>(id)] = false;
    now -= bytes_of(graph.value(id));
  };
  for (const graph::ValueId id : graph.inputs) start(id);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const graph::ValueId id : graph.nodes[i].outputs) start(id);
    peak = std::max(peak, now);
    for (const graph::ValueId id : graph.nodes[i].inputs) end(id, i);
    for (const graph::ValueId id : graph.nodes[i].outputs) end(id, i);
  }
  return peak;
}

Plan make_plan(const graph::Graph& graph) {
  Plan plan;
  plan.arena_bytes = peak_bytes(graph);
  for (const graph::Node& node : graph.nodes) {
    LayerPlan layer;
    layer.node = node.name;
    layer.kernel = kernel_name(node);
    layer.problem = problem_text(graph, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (const Tensor* constant = graph.constant_input(node, i)) layer.weight_bytes += constant->byte_size();
    }
    plan.weight_bytes += layer.weight_bytes;
    plan.layers.push_back(std::move(layer));
  }
  return plan;
}

class RefExecutable : public Executable {
 public:
  explicit RefExecutable(const graph::Graph& graph) : graph_(graph), plan_(make_plan(graph_)) {}

  std::vector<Tensor> run(const std::vector<Tensor>& inputs) override {
    return ref::run(graph_, inputs, ref::Precision::float32);
  }

  const Plan& plan() const override { return plan_; }

  std::vector<double> run_timed(const std::vector<Tensor>& inputs, std::vector<Tensor>& outputs) override {
    using Clock = std::chrono::steady_clock;
    std::vector<double> times;
    ref::Walk walk(graph_, inputs, ref::Precision::float32);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const auto start = Clock::now();
      walk.step(i);
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
      walk.release(i);
    }
    outputs = walk.outputs();
    return times;
  }

 private:
  graph::Graph graph_;
  Plan plan_;
};

class RefBackend : public Backend {
 public:
  std::string name() const override { return "ref"; }
  std::string unavailable() const override { return {}; }
  std::shared_ptr<WeightCache> make_cache() const override { return std::make_shared<WeightCache>(); }
  std::unique_ptr<Executable> compile(const graph::Graph& graph, const SessionOptions&,
                                      const std::shared_ptr<WeightCache>&) const override {
    return std::make_unique<RefExecutable>(graph);
  }
};

}  // namespace

std::unique_ptr<Backend> make_ref_backend() { return std::make_unique<RefBackend>(); }

}  // namespace wins::runtime
