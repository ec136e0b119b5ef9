#include "zoo_builder.hpp"

#include <algorithm>
#include <cmath>

#include "infer.hpp"

namespace wins::graph {
namespace {

/// FNV-1a: seeds depend on the layer's name, not on the order of layers.
std::uint64_t hash_name(const std::string& name, std::uint64_t seed) {
  std::uint64_t hash = 14695981039346656037ULL ^ (seed * 0x9E3779B97F4A7C15ULL);
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash;
}

}  // namespace

ZooBuilder::ZooBuilder(const std::string& arch, const ZooOptions& options) : options_(options), arch_(arch) {
  const auto in_range = [](std::int64_t value) { return value >= 1 && value <= (1 << 20); };
  wins::require(in_range(options.classes), "{}: {} classes are out of range", arch, options.classes);
  wins::require(in_range(options.channels) && in_range(options.height) && in_range(options.width),
                "{}: an input of {}x{}x{} is out of range", arch, options.channels, options.height,
                options.width);
  graph_.name = arch;
  graph_.inputs.push_back(graph_.add_value("input", DType::f32,
                                           wins::Shape{-1, options.channels, options.height, options.width}));
}

ValueId ZooBuilder::append(const std::string& name, Op op, std::vector<ValueId> inputs) {
  const ValueId id = graph_.add_node(name, std::move(op), std::move(inputs));
  const Node& node = graph_.nodes.back();
  std::vector<ValueInfo> infos;
  for (const ValueId input : node.inputs) {
    const Value& value = graph_.value(input);
    infos.push_back({value.dtype, value.shape, value.constant ? &*value.constant : nullptr});
  }
  try {
    graph_.value(id).shape = infer_node(node, infos).front().shape;
  } catch (const Error& error) {
    wins::fail("{}: an input of {}x{} is too small ({})", arch_, options_.height, options_.width,
               error.what());
  }
  return id;
}

ValueId ZooBuilder::weight(const std::string& name, const wins::Shape& shape, std::int64_t fan_in) {
  const auto deviation = static_cast<float>(std::sqrt(2.0 / static_cast<double>(fan_in)));
  return graph_.add_constant(name, random_normal(shape, hash_name(name, options_.seed), deviation));
}

ValueId ZooBuilder::filled(const std::string& name, std::int64_t size, float value) {
  Tensor tensor(DType::f32, {size});
  std::ranges::fill(tensor.mutable_data<float>(), value);
  return graph_.add_constant(name, std::move(tensor));
}

ValueId ZooBuilder::conv(const std::string& name, ValueId x, const ConvSpec& spec) {
  Conv op;
  op.window.kernel = {spec.kernel, spec.kernel};
  op.window.stride = {spec.stride, spec.stride};
  op.window.pads = {spec.pad, spec.pad, spec.pad, spec.pad};
  const wins::Shape shape = {spec.channels, channels(x), spec.kernel, spec.kernel};
  std::vector<ValueId> inputs = {x, weight(name + ".weight", shape, shape[1] * spec.kernel * spec.kernel)};
  if (spec.bias) inputs.push_back(filled(name + ".bias", spec.channels, 0));
  return append(name, op, std::move(inputs));
}

ValueId ZooBuilder::batch_norm(const std::string& name, ValueId x) {
  const std::int64_t size = channels(x);
  return append(name, BatchNorm{},
                {x, filled(name + ".weight", size, 1), filled(name + ".bias", size, 0),
                 filled(name + ".running_mean", size, 0), filled(name + ".running_var", size, 1)});
}

ValueId ZooBuilder::relu(const std::string& name, ValueId x) {
  return append(name, Unary{{UnaryKind::relu, 0, 0}}, {x});
}

ValueId ZooBuilder::max_pool(const std::string& name, ValueId x, const ConvSpec& window, bool ceil_mode) {
  Pool op;
  op.kind = Pool::Kind::max;
  op.window.kernel = {window.kernel, window.kernel};
  op.window.stride = {window.stride, window.stride};
  op.window.pads = {window.pad, window.pad, window.pad, window.pad};
  op.ceil_mode = ceil_mode;
  return append(name, op, {x});
}

ValueId ZooBuilder::average_pool(const std::string& name, ValueId x, std::int64_t kernel,
                                 std::int64_t stride) {
  Pool op;
  op.kind = Pool::Kind::average;
  op.window.kernel = {kernel, kernel};
  op.window.stride = {stride, stride};
  return append(name, op, {x});
}

ValueId ZooBuilder::global_average(const std::string& name, ValueId x) {
  return append(name, GlobalPool{Pool::Kind::average}, {x});
}

ValueId ZooBuilder::add(const std::string& name, ValueId a, ValueId b) {
  return append(name, Binary{BinaryKind::add, {}}, {a, b});
}

ValueId ZooBuilder::concat(const std::string& name, const std::vector<ValueId>& parts) {
  return append(name, Concat{1}, parts);
}

ValueId ZooBuilder::flatten(const std::string& name, ValueId x) {
  return append(name, Flatten{1}, {x});
}

ValueId ZooBuilder::linear(const std::string& name, ValueId x, std::int64_t outputs) {
  Gemm op;
  op.trans_b = true;
  const std::int64_t features = extent(x, 1);
  return append(
      name, op,
      {x, weight(name + ".weight", {outputs, features}, features), filled(name + ".bias", outputs, 0)});
}

ValueId ZooBuilder::times(const std::string& name, ValueId x, const Tensor& matrix, bool from_left) {
  const ValueId constant = graph_.add_constant(name + ".matrix", matrix);
  return append(name, MatMul{},
                from_left ? std::vector<ValueId>{constant, x} : std::vector<ValueId>{x, constant});
}

Graph ZooBuilder::finish(ValueId output) {
  graph_.value(output).name = "output";
  graph_.outputs = {output};
  validate(graph_);
  return std::move(graph_);
}

}  // namespace wins::graph
