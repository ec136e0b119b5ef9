// Operators that move, cut, join or describe data.
#include <array>

#include "operators.hpp"
#include "tensor_io.hpp"

namespace wins::onnx {
namespace {

using graph::Ints;
using graph::kNone;
using graph::ValueId;

void read_flatten(NodeReader& node) {
  node.emit_first(graph::Flatten{node.integer("axis", 1)}, {node.required(0)});
}

void read_reshape(NodeReader& node) {
  node.emit_first(graph::Reshape{node.integer("allowzero", 0) != 0}, {node.required(0), node.required(1)});
}

/// Axes were an attribute before opset 13.
ValueId read_axes(NodeReader& node) {
  if (node.opset() >= 13) return node.input(1);
  return node.has("axes") ? node.add_ints("axes", node.integers("axes")) : kNone;
}

void read_squeeze(NodeReader& node) {
  const ValueId axes = read_axes(node);
  node.emit_first(graph::Squeeze{}, {node.required(0), axes});
}

void read_unsqueeze(NodeReader& node) {
  const ValueId axes = read_axes(node);
  require(axes != kNone, "its axes are missing");
  node.emit_first(graph::Unsqueeze{}, {node.required(0), axes});
}

void read_transpose(NodeReader& node) {
  graph::Transpose transpose{node.integers("perm")};
  if (!node.has("perm")) {
    const auto rank = node.rank(0);
    require(rank.has_value(), "without perm the rank must be known");
    for (std::int64_t axis = *rank - 1; axis >= 0; --axis) transpose.perm.push_back(axis);
  }
  node.emit_first(transpose, {node.required(0)});
}

void read_concat(NodeReader& node) {
  require(node.has("axis"), "attribute 'axis' is missing");
  node.emit_first(graph::Concat{node.integer("axis", 0)}, node.inputs());
}

void read_split(NodeReader& node) {
  ValueId sizes = kNone;
  if (node.opset() >= 13) {
    sizes = node.input(1);
  } else if (node.has("split")) {
    sizes = node.add_ints("split", node.integers("split"));
  }
  const auto parts = static_cast<std::int64_t>(node.output_count());
  const std::int64_t stated = node.integer("num_outputs", parts);
  require(stated == parts, "num_outputs {} with {} outputs", stated, parts);
  node.emit(graph::Split{node.integer("axis", 0)}, {node.required(0), sizes});
}

void read_slice(NodeReader& node) {
  if (node.opset() >= 10) return node.emit_first(graph::Slice{}, node.inputs());
  const Ints starts = node.integers("starts");
  const Ints ends = node.integers("ends");
  Ints axes = node.integers("axes");
  if (!node.has("axes")) {
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  require(starts.size() == ends.size() && axes.size() == starts.size(), "starts, ends and axes differ in length");
  const ValueId x = node.required(0);
  const ValueId start_input = node.add_ints("starts", starts);
  const ValueId end_input = node.add_ints("ends", ends);
  const ValueId axis_input = node.add_ints("axes", axes);
  node.emit_first(graph::Slice{}, {x, start_input, end_input, axis_input});
}

graph::Pad::Mode read_pad_mode(const NodeReader& node) {
  const std::string mode = node.text("mode", "constant");
  if (mode == "constant") return graph::Pad::Mode::constant;
  if (mode == "reflect") return graph::Pad::Mode::reflect;
  if (mode == "edge") return graph::Pad::Mode::edge;
  require(mode == "wrap", "mode = '{}' is unknown", mode);
  return graph::Pad::Mode::wrap;
}

void read_pad(NodeReader& node) {
  const graph::Pad pad{read_pad_mode(node)};
  const ValueId x = node.required(0);
  if (node.opset() >= 11) {
    return node.emit_first(pad, {x, node.required(1), node.input(2), node.input(3)});
  }
  require(node.has("pads"), "attribute 'pads' is missing");
  const ValueId pads = node.add_ints("pads", node.integers("pads"));
  const float fill = node.number("value", 0.0F);
  const ValueId value = fill != 0.0F ? node.add_constant("value", Tensor::scalar(fill)) : kNone;
  node.emit_first(pad, {x, pads, value});
}

std::int64_t read_block(const NodeReader& node) {
  const std::int64_t block = node.integer("blocksize", 0);
  require(block >= 1 && block <= 4096, "blocksize {} is out of range", block);
  return block;
}

void read_depth_to_space(NodeReader& node) {
  const std::string mode = node.text("mode", "DCR");
  require(mode == "DCR" || mode == "CRD", "mode = '{}' is unknown", mode);
  node.emit_first(graph::DepthToSpace{read_block(node), mode == "CRD"}, {node.required(0)});
}

void read_space_to_depth(NodeReader& node) {
  node.emit_first(graph::SpaceToDepth{read_block(node)}, {node.required(0)});
}

void read_shape(NodeReader& node) {
  graph::Shape shape;
  shape.start = node.integer("start", 0);
  if (node.has("end")) shape.end = node.integer("end", 0);
  node.emit_first(shape, {node.required(0)});
}

void read_gather(NodeReader& node) {
  node.emit_first(graph::Gather{node.integer("axis", 0)}, {node.required(0), node.required(1)});
}

void read_cast(NodeReader& node) {
  require(node.has("to"), "attribute 'to' is missing");
  const auto to = static_cast<int>(node.integer("to", 0));
  const auto dtype = graph_dtype(to);
  require(dtype.has_value(), "a cast to {} is not supported", onnx_type_name(to));
  // Half and double became float32 already: the cast has nothing to do.
  if (const auto value = node.constant(0); value && value->dtype() == *dtype) return node.pass_through(0);
  node.emit_first(graph::Cast{*dtype}, {node.required(0)});
}

void read_constant_of_shape(NodeReader& node) {
  graph::ConstantOfShape op;
  op.value = node.has("value") ? node.tensor("value") : Tensor(DType::f32, {1});
  require(op.value.size() == 1, "value must hold one element");
  node.emit_first(op, {node.required(0)});
}

void read_expand(NodeReader& node) { node.emit_first(graph::Expand{}, {node.required(0), node.required(1)}); }

void read_range(NodeReader& node) {
  node.emit_first(graph::Range{}, {node.required(0), node.required(1), node.required(2)});
}

void read_constant(NodeReader& node) {
  if (node.has("value")) return node.set_constant(node.tensor("value"));
  if (node.has("value_float")) return node.set_constant(Tensor::scalar(node.number("value_float", 0)));
  if (node.has("value_int")) return node.set_constant(Tensor::scalar(node.integer("value_int", 0)));
  if (node.has("value_ints")) {
    const Ints values = node.integers("value_ints");
    return node.set_constant(Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }
  for (const auto& attribute : node.proto().attribute()) {
    if (attribute.name() != "value_floats") continue;
    const std::vector<float> values(attribute.floats().begin(), attribute.floats().end());
    return node.set_constant(Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values));
  }
  fail("only numbers are supported");
}

void read_identity(NodeReader& node) { node.pass_through(0); }

constexpr std::array kOperators{
    Operator{"Flatten", "", read_flatten, ""},
    Operator{"Reshape", "", read_reshape, ""},
    Operator{"Squeeze", "", read_squeeze, ""},
    Operator{"Unsqueeze", "", read_unsqueeze, ""},
    Operator{"Transpose", "", read_transpose, ""},
    Operator{"Concat", "", read_concat, ""},
    Operator{"Split", "", read_split, ""},
    Operator{"Slice", "", read_slice, ""},
    Operator{"Pad", "", read_pad, ""},
    Operator{"DepthToSpace", "", read_depth_to_space, ""},
    Operator{"SpaceToDepth", "", read_space_to_depth, ""},
    Operator{"Expand", "", read_expand, ""},
    Operator{"Identity", "", read_identity, "dropped"},
    Operator{"Constant", "", read_constant, "dense numbers"},
    Operator{"Shape", "", read_shape, ""},
    Operator{"Gather", "", read_gather, ""},
    Operator{"Cast", "", read_cast, "to float, int64, int32, uint8, bool; half and double mean float32"},
    Operator{"ConstantOfShape", "", read_constant_of_shape, ""},
    Operator{"Range", "", read_range, ""},
};

}  // namespace

std::span<const Operator> shape_operators() { return kOperators; }

}  // namespace wins::onnx
