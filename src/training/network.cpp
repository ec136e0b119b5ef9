#include "network.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "device.hpp"
#include "tensors.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/evaluate.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::training {
namespace {

using graph::ValueId;

/// Programs kept for different input shapes (training batch, last batch, held-out batches).
constexpr std::size_t kMaxPrograms = 8;

at::MemoryFormat format_of(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

/// The graph with a final Softmax or LogSoftmax over classes taken off each output.
graph::Graph without_softmax(const graph::Graph& graph) {
  graph::Graph copy = graph;
  for (ValueId& output : copy.outputs) {
    const graph::Node* node = copy.producer(output);
    if (node != nullptr && node->as<graph::Softmax>() != nullptr) output = node->inputs[0];
  }
  graph::remove_unused(copy);
  return copy;
}

}  // namespace

void fold_constants(graph::Graph& graph) {
  std::vector<graph::Node> kept;
  for (graph::Node& node : graph.nodes) {
    std::vector<const Tensor*> inputs;
    bool constant = !node.inputs.empty() && graph::can_evaluate(node.op);
    for (const ValueId id : node.inputs) {
      const Tensor* tensor = nullptr;
      if (id != graph::kNone) {
        tensor = graph.value(id).constant ? &*graph.value(id).constant : nullptr;
        constant = constant && tensor != nullptr;
      }
      inputs.push_back(tensor);
    }
    if (!constant) {
      kept.push_back(std::move(node));
      continue;
    }
    std::vector<Tensor> outputs = graph::evaluate(node, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      graph.value(node.outputs[i]).constant = std::move(outputs[i]);
  }
  graph.nodes = std::move(kept);
  graph::remove_unused(graph);
}

/// A graph specialised for input shapes, with a kernel for each node.
struct Network::Program {
  struct Step {
    Kernel kernel;
    std::vector<ValueId> inputs, outputs;
    std::vector<ValueId> last_uses;  ///< values that no later step reads
    std::string name;
  };
  std::vector<Step> steps;
  std::vector<at::Tensor> constants;  ///< by value
  std::vector<ValueId> inputs, outputs;
};

Network::~Network() = default;

Network::Network(graph::Graph graph, at::Device device, bool trainable, const std::vector<std::string>& hints)
    : graph_(std::move(graph)), outputs_(graph_.outputs.size()), device_(device), trainable_(trainable) {
  fold_constants(graph_);
  for (const std::string& name : hints) {
    const auto found = std::find_if(graph_.values.begin(), graph_.values.end(),
                                    [&](const graph::Value& value) { return value.name == name; });
    require(found != graph_.values.end(), "graph '{}' has no value '{}'", graph_.name, name);
    graph_.outputs.push_back(static_cast<ValueId>(found - graph_.values.begin()));
  }
  logits_graph_ = without_softmax(graph_);
  collect();
}

void Network::add_parameter(ValueId id, bool decays) {
  if (id == graph::kNone) return;
  const graph::Value& value = graph_.value(id);
  if (!value.constant || value.constant->dtype() != DType::f32) return;
  if (parameter_index_.contains(value.name)) return;
  at::Tensor tensor = to_torch(*value.constant, device_);
  tensor = tensor.contiguous(format_of(tensor));
  parameter_index_[value.name] = parameters_.size();
  parameters_.push_back({value.name, tensor, {}, decays});
  constants_[value.name] = tensor;
}

void Network::add_mask(const graph::Node& node, const graph::WinogradConv& op) {
  const winograd::Mask& mask = op.mask;
  std::vector<float> keep(mask.keep.begin(), mask.keep.end());
  std::vector<std::int64_t> shape = {mask.positions, mask.rows, mask.columns};
  if (mask.axis == winograd::Axis::row) shape[2] = 1;
  if (mask.axis == winograd::Axis::column) shape[1] = 1;
  set_mask(node, keep, shape);
}

void Network::add_mask(const graph::Node& node, const graph::ColumnMask& columns) {
  std::vector<float> keep;
  for (std::int64_t k = 0; k < columns.rows; ++k) {
    for (std::int64_t c = 0; c < columns.columns; ++c) keep.push_back(columns.weight_kept(k, c) ? 1.0F : 0.0F);
  }
  set_mask(node, keep, {columns.rows, columns.columns, 1, 1});
}

void Network::set_mask(const graph::Node& node, const std::vector<float>& keep,
                       const std::vector<std::int64_t>& shape) {
  const std::string where = graph::op_name(node.op) + " '" + node.name + "'";
  const auto found = parameter_index_.find(graph_.value(node.input(1)).name);
  require(found != parameter_index_.end(), "{}: its weights are not constant float32", where);
  Parameter& parameter = parameters_[found->second];
  const at::Tensor wanted = at::tensor(keep).view(shape).to(device_);
  require(!parameter.mask.defined() || at::equal(parameter.mask, wanted),
          "{}: shares weights with a node of another mask", where);
  parameter.mask = wanted;
  parameter.value.mul_(wanted);
}

void Network::collect() {
  for (const graph::Node& node : graph_.nodes) {
    if (node.as<graph::Conv>() || node.as<graph::WinogradConv>() || node.as<graph::ConvTranspose>() ||
        node.as<graph::Gemm>()) {
      add_parameter(node.input(1), true);
      add_parameter(node.input(2), false);
    } else if (node.as<graph::MatMul>()) {
      add_parameter(node.input(0), true);
      add_parameter(node.input(1), true);
    } else if (node.as<graph::PRelu>()) {
      add_parameter(node.input(1), false);
    } else if (node.as<graph::LayerNorm>()) {
      add_parameter(node.input(1), false);
      add_parameter(node.input(2), false);
    } else if (node.as<graph::BatchNorm>()) {
      add_parameter(node.input(1), false);
      add_parameter(node.input(2), false);
      for (const std::size_t i : {3, 4}) {
        const graph::Value& value = graph_.value(node.input(i));
        require(value.constant.has_value(), "BatchNormalization '{}': input {} is not constant", node.name,
                i);
        if (!constants_.contains(value.name)) constants_[value.name] = to_torch(*value.constant, device_);
        statistics_[value.name] = constants_[value.name];
      }
    }
  }
  for (const graph::Node& node : graph_.nodes) {
    if (const auto* op = node.as<graph::WinogradConv>()) add_mask(node, *op);
    if (const auto columns = graph::column_mask(graph_, node)) add_mask(node, *columns);
  }
  for (Parameter& parameter : parameters_) parameter.value.set_requires_grad(trainable_);
}

std::unique_ptr<Network::Program> Network::build(const std::vector<Shape>& shapes, bool logits) {
  const graph::Graph graph = graph::specialize(logits ? logits_graph_ : graph_, shapes);
  auto program = std::make_unique<Program>();
  program->constants.resize(graph.values.size());
  program->inputs = graph.inputs;
  program->outputs = graph.outputs;
  for (std::size_t id = 0; id < graph.values.size(); ++id) {
    const graph::Value& value = graph.values[id];
    if (!value.constant) continue;
    const auto shared = constants_.find(value.name);
    program->constants[id] = shared != constants_.end() ? shared->second : to_torch(*value.constant, device_);
  }
  std::string refused;
  for (const graph::Node& node : graph.nodes) {
    try {
      program->steps.push_back(
          {training::compile(Site{graph, node, device_}), node.inputs, node.outputs, {}, node.name});
    } catch (const Error& error) {
      refused += fmt::format("{}{}", refused.empty() ? "" : "; ", error.what());
    }
  }
  require(refused.empty(), "libtorch does not run this network: {}", refused);
  std::vector<bool> needed(graph.values.size(), false);
  for (const ValueId id : graph.outputs) needed[static_cast<std::size_t>(id)] = true;
  for (auto step = program->steps.rbegin(); step != program->steps.rend(); ++step) {
    for (const ValueId id : step->inputs) {
      if (id == graph::kNone || needed[static_cast<std::size_t>(id)]) continue;
      needed[static_cast<std::size_t>(id)] = true;
      step->last_uses.push_back(id);
    }
  }
  return program;
}

Network::Program& Network::program(const std::vector<at::Tensor>& inputs, bool logits) {
  std::vector<Shape> shapes;
  for (const at::Tensor& input : inputs) shapes.emplace_back(input.sizes().begin(), input.sizes().end());
  auto& slot = programs_[{logits, shapes}];
  if (slot) return *slot;
  auto built = build(shapes, logits);
  if (programs_.size() > kMaxPrograms) {
    programs_.clear();
    return *(programs_[{logits, shapes}] = std::move(built));
  }
  slot = std::move(built);
  return *slot;
}

std::vector<at::Tensor> Network::execute(Program& program, const std::vector<at::Tensor>& inputs,
                                         const Run& how) {
  std::vector<at::Tensor> values = program.constants;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor input = inputs[i].to(device_);
    values[static_cast<std::size_t>(program.inputs[i])] = input.contiguous(format_of(input));
  }
  std::vector<at::Tensor> arguments;
  for (const Program::Step& step : program.steps) {
    arguments.clear();
    for (const ValueId id : step.inputs) {
      arguments.push_back(id == graph::kNone ? at::Tensor() : values[static_cast<std::size_t>(id)]);
    }
    std::vector<at::Tensor> results;
    try {
      results = step.kernel(arguments, how);
    } catch (const c10::Error& error) {
      fail("'{}': {}", step.name, libtorch_message(error));
    }
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      values[static_cast<std::size_t>(step.outputs[i])] = results.at(i);
    }
    for (const ValueId id : step.last_uses) values[static_cast<std::size_t>(id)].reset();
  }
  std::vector<at::Tensor> outputs;
  for (const ValueId id : program.outputs) outputs.push_back(values[static_cast<std::size_t>(id)]);
  return outputs;
}

std::vector<at::Tensor> Network::run(const std::vector<at::Tensor>& inputs, const Run& how) {
  std::vector<at::Tensor> outputs = execute(program(inputs, false), inputs, how);
  outputs.resize(outputs_);
  return outputs;
}

std::vector<at::Tensor> Network::logits(const std::vector<at::Tensor>& inputs, const Run& how) {
  std::vector<at::Tensor> outputs = logits_and_hints(inputs, how);
  outputs.resize(outputs_);
  return outputs;
}

std::vector<at::Tensor> Network::logits_and_hints(const std::vector<at::Tensor>& inputs, const Run& how) {
  return execute(program(inputs, true), inputs, how);
}

graph::Graph Network::graph() const {
  graph::Graph copy = graph_;
  copy.outputs.resize(outputs_);
  for (graph::Value& value : copy.values) {
    const auto trained = parameter_index_.find(value.name);
    if (trained != parameter_index_.end()) value.constant = from_torch(parameters_[trained->second].value);
    const auto measured = statistics_.find(value.name);
    if (measured != statistics_.end()) value.constant = from_torch(measured->second);
  }
  return copy;
}

}  // namespace wins::training
