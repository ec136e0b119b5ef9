#include "wins/runtime/verify.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::runtime {
namespace {

/// A network of one layer, with what goes in.
struct OneNode {
  graph::Graph graph;
  std::vector<Tensor> inputs;
};

Tensor as_float32(const Tensor& tensor) {
  return tensor.dtype() == DType::f64 ? tensor.cast(DType::f32) : tensor;
}

/// `nodes`, in order, and nothing else: constants stay constants, what none of them makes becomes a
/// network input. The outputs are the last node's.
OneNode isolate(const graph::Graph& graph, const std::vector<const graph::Node*>& nodes,
                const std::vector<Tensor>& values) {
  OneNode one;
  one.graph.name = nodes.back()->name;
  std::map<graph::ValueId, graph::ValueId> known;
  for (const graph::Node* node : nodes) {
    graph::Node copy{node->name, node->op, {}, {}};
    for (const graph::ValueId id : node->inputs) {
      if (id == graph::kNone) {
        copy.inputs.push_back(graph::kNone);
        continue;
      }
      const graph::Value& value = graph.value(id);
      if (!known.contains(id)) {
        if (value.constant) {
          known[id] = one.graph.add_constant(value.name, *value.constant);
        } else {
          one.inputs.push_back(as_float32(values[static_cast<std::size_t>(id)]));
          known[id] = one.graph.add_value(value.name, one.inputs.back().dtype(), one.inputs.back().shape());
          one.graph.inputs.push_back(known[id]);
        }
      }
      copy.inputs.push_back(known[id]);
    }
    for (const graph::ValueId id : node->outputs) {
      const graph::Value& value = graph.value(id);
      known[id] = one.graph.add_value(value.name, value.dtype, value.shape);
      copy.outputs.push_back(known[id]);
    }
    one.graph.outputs = copy.outputs;
    one.graph.nodes.push_back(std::move(copy));
  }
  return one;
}

/// Largest errors over all outputs; infinite when shapes differ.
void compare(const std::vector<Tensor>& got, const std::vector<Tensor>& wanted, double bound, LayerCheck& check) {
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const bool comparable = i < got.size() && got[i].shape() == wanted[i].shape();
    constexpr double kInfinite = std::numeric_limits<double>::infinity();
    check.relative_l2 = std::max(check.relative_l2, comparable ? relative_l2(got[i], wanted[i]) : kInfinite);
    check.max_error = std::max(check.max_error, comparable ? max_abs_difference(got[i], wanted[i]) : kInfinite);
  }
  check.passed = check.relative_l2 <= bound;
}

/// The line of `node` in a plan, or null. Reorders are named by the value, which may be called like the node.
const LayerPlan* line_of(const Plan& plan, const std::string& node) {
  const auto found = std::find_if(plan.layers.begin(), plan.layers.end(), [&](const LayerPlan& layer) {
    return layer.node == node && layer.kernel.find(":reorder_") == std::string::npos;
  });
  return found != plan.layers.end() ? &*found : nullptr;
}

/// A node and those that the network's plan runs inside it, in order.
std::vector<const graph::Node*> nodes_of(const graph::Graph& graph, const graph::Node& node, const Plan& plan) {
  std::vector<const graph::Node*> nodes;
  const LayerPlan* line = line_of(plan, node.name);
  for (const graph::Node& other : graph.nodes) {
    const bool inside = line != nullptr && std::count(line->inside.begin(), line->inside.end(), other.name) > 0;
    if (inside || &other == &node) nodes.push_back(&other);
  }
  return nodes;
}

/// Options under which a node alone runs what the network runs. Tuning again might decide otherwise.
SessionOptions alone(SessionOptions options, const LayerPlan* planned) {
  if (!options.tune) return options;
  options.tune = false;
  if (options.force_kernel.empty() && planned != nullptr) options.force_kernel = planned->choice;
  return options;
}

LayerCheck check_layer(const OneNode& one, const std::string& node, const SessionOptions& options, double bound) {
  LayerCheck check;
  check.node = node;
  const std::vector<Tensor> wanted = ref::run(one.graph, one.inputs, ref::Precision::float64);
  Session session = Session::open(one.graph, options);
  std::vector<Shape> shapes;
  for (const Tensor& input : one.inputs) shapes.push_back(input.shape());
  const Plan plan = session.plan(shapes);
  if (const LayerPlan* line = line_of(plan, node)) check.kernel = line->kernel;
  compare(session.run(one.inputs), wanted, bound, check);
  return check;
}

/// A network run whole by the backend, and node by node by the reference.
struct WholeRun {
  Plan plan;
  graph::Graph specialised;
  std::vector<Tensor> outputs, values;

  WholeRun(const graph::Graph& graph, const std::vector<Tensor>& inputs, const SessionOptions& options) {
    Session session = Session::open(graph, options);
    outputs = session.run(inputs);
    std::vector<Shape> shapes;
    for (const Tensor& input : inputs) shapes.push_back(input.shape());
    plan = session.plan(shapes);
    specialised = graph::specialize(session.graph(), shapes);
    values = ref::run_all(specialised, inputs, ref::Precision::float64);
  }

  LayerCheck check(const SessionOptions& options, double bound) const {
    LayerCheck network;
    network.node = "network";
    network.kernel = options.backend;
    std::vector<Tensor> wanted;
    for (const graph::ValueId id : specialised.outputs) wanted.push_back(values[static_cast<std::size_t>(id)]);
    compare(outputs, wanted, bound, network);
    return network;
  }
};

}  // namespace

VerifyBounds verify_bounds(const SessionOptions& options) {
  const bool rough_weights = options.weight_storage == WeightStorage::bf16;
  switch (options.precision) {
    case Precision::fp32: return rough_weights ? VerifyBounds{1e-2, 4e-2} : VerifyBounds{2e-4, 2e-4};
    case Precision::tf32: return {2e-3, 1e-2};
    case Precision::fp16: return {2e-3, 1e-2};
    case Precision::bf16: return {1.6e-2, 8e-2};
  }
  return {};
}

std::vector<LayerCheck> verify(const graph::Graph& graph, const std::vector<Tensor>& inputs,
                               const SessionOptions& options, const VerifyBounds& bounds) {
  require(bounds.layer > 0 && bounds.network > 0, "verify: bounds {} and {} are not positive", bounds.layer, bounds.network);
  const WholeRun run(graph, inputs, options);
  std::vector<LayerCheck> checks;
  for (const graph::Node& node : run.specialised.nodes) {
    const OneNode one = isolate(run.specialised, nodes_of(run.specialised, node, run.plan), run.values);
    const LayerPlan* planned = line_of(run.plan, node.name);
    checks.push_back(check_layer(one, node.name, alone(options, planned), bounds.layer));
    LayerCheck& check = checks.back();
    if (planned == nullptr || planned->kernel == check.kernel) continue;
    // Another kernel was checked than the network runs: that is no verification.
    check.kernel += fmt::format(" (the network runs {})", planned->kernel);
    check.passed = false;
  }
  checks.push_back(run.check(options, bounds.network));
  return checks;
}

LayerCheck verify_network(const graph::Graph& graph, const std::vector<Tensor>& inputs, const SessionOptions& options, double bound) {
  return WholeRun(graph, inputs, options).check(options, bound);
}

}  // namespace wins::runtime
