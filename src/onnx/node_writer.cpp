#include "node_writer.hpp"

#include <array>
#include <variant>

#include "proto_build.hpp"
#include "tensor_io.hpp"
#include "wins/base/error.hpp"

namespace wins::onnx {
namespace {

using graph::Activation;
using graph::AutoPad;
using graph::Ints;
using graph::Node;
using graph::UnaryKind;

template <std::size_t n>
Ints list(const std::array<std::int64_t, n>& values) {
  return {values.begin(), values.end()};
}

std::int64_t flag(bool value) { return value ? 1 : 0; }

void set_window(pb::NodeProto& node, const graph::Window& window) {
  set_attribute(node, "kernel_shape", list(window.kernel));
  set_attribute(node, "strides", list(window.stride));
  if (window.dilation != std::array<std::int64_t, 2>{1, 1}) set_attribute(node, "dilations", list(window.dilation));
  switch (window.auto_pad) {
    case AutoPad::none: return set_attribute(node, "pads", list(window.pads));
    case AutoPad::same_upper: return set_attribute(node, "auto_pad", std::string("SAME_UPPER"));
    case AutoPad::same_lower: return set_attribute(node, "auto_pad", std::string("SAME_LOWER"));
    case AutoPad::valid: return set_attribute(node, "auto_pad", std::string("VALID"));
  }
}

/// ONNX operator of a function that is one node there without inputs of its own.
const char* unary_name(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::identity: return "Identity";
    case UnaryKind::relu: return "Relu";
    case UnaryKind::clip: return "Clip";
    case UnaryKind::leaky_relu: return "LeakyRelu";
    case UnaryKind::sigmoid: return "Sigmoid";
    case UnaryKind::tanh: return "Tanh";
    case UnaryKind::hard_swish: return "HardSwish";
    case UnaryKind::hard_sigmoid: return "HardSigmoid";
    case UnaryKind::elu: return "Elu";
    case UnaryKind::silu: return "Silu";
    case UnaryKind::gelu: case UnaryKind::gelu_tanh: return "Gelu";
    case UnaryKind::softplus: return "Softplus";
    case UnaryKind::mish: return "Mish";
    case UnaryKind::erf: return "Erf";
    case UnaryKind::exp: return "Exp";
    case UnaryKind::log: return "Log";
    case UnaryKind::sqrt: return "Sqrt";
    case UnaryKind::reciprocal: return "Reciprocal";
    case UnaryKind::neg: return "Neg";
    case UnaryKind::abs: return "Abs";
    case UnaryKind::floor: return "Floor";
    case UnaryKind::ceil: return "Ceil";
  }
  return "Identity";
}

const char* binary_name(graph::BinaryKind kind) {
  switch (kind) {
    case graph::BinaryKind::add: return "Add";
    case graph::BinaryKind::sub: return "Sub";
    case graph::BinaryKind::mul: return "Mul";
    case graph::BinaryKind::div: return "Div";
    case graph::BinaryKind::pow: return "Pow";
    case graph::BinaryKind::min: return "Min";
    case graph::BinaryKind::max: return "Max";
  }
  return "Add";
}

const char* reduce_name(graph::Reduce::Kind kind) {
  switch (kind) {
    case graph::Reduce::Kind::mean: return "ReduceMean";
    case graph::Reduce::Kind::sum: return "ReduceSum";
    case graph::Reduce::Kind::max: return "ReduceMax";
    case graph::Reduce::Kind::min: return "ReduceMin";
    case graph::Reduce::Kind::l2: return "ReduceL2";
  }
  return "ReduceMean";
}

std::string pad_mode(graph::Pad::Mode mode) {
  switch (mode) {
    case graph::Pad::Mode::constant: return "constant";
    case graph::Pad::Mode::reflect: return "reflect";
    case graph::Pad::Mode::edge: return "edge";
    case graph::Pad::Mode::wrap: return "wrap";
  }
  return "constant";
}

std::string resize_mode(graph::Resize::Mode mode) {
  switch (mode) {
    case graph::Resize::Mode::nearest: return "nearest";
    case graph::Resize::Mode::linear: return "linear";
    case graph::Resize::Mode::cubic: return "cubic";
  }
  return "nearest";
}

std::string resize_coordinate(graph::Resize::Coordinate coordinate) {
  switch (coordinate) {
    case graph::Resize::Coordinate::half_pixel: return "half_pixel";
    case graph::Resize::Coordinate::half_pixel_symmetric: return "half_pixel_symmetric";
    case graph::Resize::Coordinate::pytorch_half_pixel: return "pytorch_half_pixel";
    case graph::Resize::Coordinate::align_corners: return "align_corners";
    case graph::Resize::Coordinate::asymmetric: return "asymmetric";
  }
  return "half_pixel";
}

std::string resize_nearest(graph::Resize::Nearest nearest) {
  switch (nearest) {
    case graph::Resize::Nearest::round_prefer_floor: return "round_prefer_floor";
    case graph::Resize::Nearest::round_prefer_ceil: return "round_prefer_ceil";
    case graph::Resize::Nearest::floor: return "floor";
    case graph::Resize::Nearest::ceil: return "ceil";
  }
  return "round_prefer_floor";
}

/// One overload for each operator of the graph.
struct OperatorWriter {
  NodeWriter& out;
  const Node& node;

  /// Adds what fusion put behind an operator: calls `body(value)` for the operator itself, then
  /// writes the residual add (input `residual`, when there) and the activation.
  template <class Body>
  void with_epilogue(const Activation& activation, const std::string& residual, Body body) const {
    const bool activated = activation.kind != UnaryKind::identity;
    std::string target = out.output(node);
    const std::string last = target;
    if (activated) target = out.fresh(last + "/linear");
    std::string product = target;
    if (!residual.empty()) product = out.fresh(last + "/product");
    body(product);
    if (!residual.empty()) out.add("Add", node.name + "/residual", {product, residual}, {target});
    if (activated) out.add_activation(activation, node.name + "/activation", target, last);
  }

  void operator()(const graph::Conv& op) const {
    with_epilogue(op.activation, out.input(node, 3), [&](const std::string& to) {
      auto& conv = out.add("Conv", node.name, {out.input(node, 0), out.input(node, 1), out.input(node, 2)}, {to});
      set_window(conv, op.window);
      set_attribute(conv, "group", op.group);
    });
  }
  void operator()(const graph::WinogradConv& op) const {
    with_epilogue(op.activation, out.input(node, 3), [&](const std::string& to) { out.add_winograd(op, node, to); });
  }
  void operator()(const graph::ConvTranspose& op) const {
    auto& conv = out.add_plain("ConvTranspose", node);
    set_window(conv, op.window);
    set_attribute(conv, "group", op.group);
    set_attribute(conv, "output_padding", list(op.output_padding));
    if (!op.output_shape.empty()) set_attribute(conv, "output_shape", op.output_shape);
  }
  void operator()(const graph::BatchNorm& op) const {
    auto& norm = out.add_plain("BatchNormalization", node);
    set_attribute(norm, "epsilon", op.epsilon);
    set_attribute(norm, "momentum", op.momentum);
  }
  void operator()(const graph::Unary& op) const {
    out.add_activation(op.function, node.name, out.input(node, 0), out.output(node));
  }
  void operator()(const graph::PRelu&) const { out.add_plain("PRelu", node); }
  void operator()(const graph::Binary& op) const {
    with_epilogue(op.activation, "", [&](const std::string& to) {
      out.add(binary_name(op.kind), node.name, {out.input(node, 0), out.input(node, 1)}, {to});
    });
  }
  void operator()(const graph::Pool& op) const {
    const bool average = op.kind == graph::Pool::Kind::average;
    auto& pool = out.add_plain(average ? "AveragePool" : "MaxPool", node);
    set_window(pool, op.window);
    set_attribute(pool, "ceil_mode", flag(op.ceil_mode));
    if (average) set_attribute(pool, "count_include_pad", flag(op.count_include_pad));
  }
  void operator()(const graph::GlobalPool& op) const {
    out.add_plain(op.kind == graph::Pool::Kind::average ? "GlobalAveragePool" : "GlobalMaxPool", node);
  }
  void operator()(const graph::Reduce& op) const {
    auto& reduce = out.add_plain(reduce_name(op.kind), node);
    set_attribute(reduce, "keepdims", flag(op.keep_dims));
    set_attribute(reduce, "noop_with_empty_axes", flag(op.noop_with_empty_axes));
  }
  void operator()(const graph::Gemm& op) const {
    with_epilogue(op.activation, "", [&](const std::string& to) {
      auto& gemm = out.add("Gemm", node.name, {out.input(node, 0), out.input(node, 1), out.input(node, 2)}, {to});
      set_attribute(gemm, "alpha", op.alpha);
      set_attribute(gemm, "beta", op.beta);
      set_attribute(gemm, "transA", flag(op.trans_a));
      set_attribute(gemm, "transB", flag(op.trans_b));
    });
  }
  void operator()(const graph::MatMul&) const { out.add_plain("MatMul", node); }
  void operator()(const graph::Flatten& op) const { set_attribute(out.add_plain("Flatten", node), "axis", op.axis); }
  void operator()(const graph::Reshape& op) const {
    set_attribute(out.add_plain("Reshape", node), "allowzero", flag(op.allow_zero));
  }
  void operator()(const graph::Squeeze&) const { out.add_plain("Squeeze", node); }
  void operator()(const graph::Unsqueeze&) const { out.add_plain("Unsqueeze", node); }
  void operator()(const graph::Transpose& op) const {
    set_attribute(out.add_plain("Transpose", node), "perm", op.perm);
  }
  void operator()(const graph::Concat& op) const { set_attribute(out.add_plain("Concat", node), "axis", op.axis); }
  void operator()(const graph::Split& op) const {
    auto& split = out.add_plain("Split", node);
    set_attribute(split, "axis", op.axis);
    if (node.input(1) == graph::kNone) {
      set_attribute(split, "num_outputs", static_cast<std::int64_t>(node.outputs.size()));
    }
  }
  void operator()(const graph::Slice&) const { out.add_plain("Slice", node); }
  void operator()(const graph::Pad& op) const { set_attribute(out.add_plain("Pad", node), "mode", pad_mode(op.mode)); }
  void operator()(const graph::Resize& op) const {
    auto& resize = out.add_plain("Resize", node);
    set_attribute(resize, "mode", resize_mode(op.mode));
    set_attribute(resize, "coordinate_transformation_mode", resize_coordinate(op.coordinate));
    set_attribute(resize, "nearest_mode", resize_nearest(op.nearest));
    set_attribute(resize, "cubic_coeff_a", op.cubic_a);
  }
  void operator()(const graph::DepthToSpace& op) const {
    auto& shuffle = out.add_plain("DepthToSpace", node);
    set_attribute(shuffle, "blocksize", op.block);
    set_attribute(shuffle, "mode", std::string(op.crd ? "CRD" : "DCR"));
  }
  void operator()(const graph::SpaceToDepth& op) const {
    set_attribute(out.add_plain("SpaceToDepth", node), "blocksize", op.block);
  }
  void operator()(const graph::Lrn& op) const {
    auto& lrn = out.add_plain("LRN", node);
    set_attribute(lrn, "size", op.size);
    set_attribute(lrn, "alpha", op.alpha);
    set_attribute(lrn, "beta", op.beta);
    set_attribute(lrn, "bias", op.bias);
  }
  void operator()(const graph::Softmax& op) const {
    set_attribute(out.add_plain(op.log ? "LogSoftmax" : "Softmax", node), "axis", op.axis);
  }
  void operator()(const graph::LayerNorm& op) const {
    auto& norm = out.add_plain("LayerNormalization", node);
    set_attribute(norm, "axis", op.axis);
    set_attribute(norm, "epsilon", op.epsilon);
  }
  void operator()(const graph::Shape& op) const {
    auto& shape = out.add_plain("Shape", node);
    set_attribute(shape, "start", op.start);
    if (op.end) set_attribute(shape, "end", *op.end);
  }
  void operator()(const graph::Gather& op) const { set_attribute(out.add_plain("Gather", node), "axis", op.axis); }
  void operator()(const graph::Cast& op) const {
    set_attribute(out.add_plain("Cast", node), "to", static_cast<std::int64_t>(onnx_dtype(op.to)));
  }
  void operator()(const graph::ConstantOfShape& op) const {
    set_attribute(out.add_plain("ConstantOfShape", node), "value", write_tensor("", op.value));
  }
  void operator()(const graph::Expand&) const { out.add_plain("Expand", node); }
  void operator()(const graph::Range&) const { out.add_plain("Range", node); }
};

}  // namespace

NodeWriter::NodeWriter(const graph::Graph& graph, ModelFile& file) : graph_(graph), file_(file) {
  for (const auto& value : graph.values) names_.insert(value.name);
  for (const graph::ValueId id : graph.outputs) {
    if (graph.value(id).constant) used_constants_.insert(id);
  }
}

void NodeWriter::write(const Node& node) { std::visit(OperatorWriter{*this, node}, node.op); }

std::string NodeWriter::input(const Node& node, std::size_t i) {
  const graph::ValueId id = node.input(i);
  if (id == graph::kNone) return "";
  if (graph_.value(id).constant) used_constants_.insert(id);
  return graph_.value(id).name;
}

std::vector<std::string> NodeWriter::inputs(const Node& node) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) names.push_back(input(node, i));
  return names;
}

std::string NodeWriter::output(const Node& node, std::size_t i) const {
  return graph_.value(node.outputs.at(i)).name;
}

std::string NodeWriter::fresh(const std::string& base) {
  std::string name = base;
  for (int i = 1; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
  return name;
}

std::string NodeWriter::add_initialiser(const std::string& base, const Tensor& tensor) {
  const std::string name = fresh(base);
  file_.add_initialiser(name, tensor);
  return name;
}

pb::NodeProto& NodeWriter::add(const std::string& op, const std::string& name, std::vector<std::string> node_inputs,
                               const std::vector<std::string>& outputs) {
  pb::NodeProto& node = *file_.model.mutable_graph()->add_node();
  node.set_op_type(op);
  node.set_name(name);
  set_edges(node, std::move(node_inputs), outputs);
  return node;
}

pb::NodeProto& NodeWriter::add_plain(const std::string& op, const Node& node) {
  std::vector<std::string> outputs;
  for (std::size_t i = 0; i < node.outputs.size(); ++i) outputs.push_back(output(node, i));
  return add(op, node.name, inputs(node), outputs);
}

void NodeWriter::add_activation(const Activation& function, const std::string& name, const std::string& from,
                                const std::string& to) {
  switch (function.kind) {
    case UnaryKind::silu: {
      const std::string gate = fresh(to + "/sigmoid");
      add("Sigmoid", name + "/sigmoid", {from}, {gate});
      add("Mul", name, {from, gate}, {to});
      return;
    }
    case UnaryKind::clip: {
      const std::string low = add_initialiser(name + "/min", Tensor::scalar(function.alpha));
      const std::string high = add_initialiser(name + "/max", Tensor::scalar(function.beta));
      add("Clip", name, {from, low, high}, {to});
      return;
    }
    default: break;
  }
  pb::NodeProto& node = add(unary_name(function.kind), name, {from}, {to});
  if (function.kind == UnaryKind::leaky_relu || function.kind == UnaryKind::elu ||
      function.kind == UnaryKind::hard_sigmoid) {
    set_attribute(node, "alpha", function.alpha);
  }
  if (function.kind == UnaryKind::hard_sigmoid) set_attribute(node, "beta", function.beta);
  if (function.kind == UnaryKind::gelu_tanh) set_attribute(node, "approximate", std::string("tanh"));
}

}  // namespace wins::onnx
