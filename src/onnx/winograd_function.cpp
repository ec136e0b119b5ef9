// WinogradConv equals an ordinary convolution with a p x p kernel and stride m*s whose m*m outputs
// per channel DepthToSpace interleaves (docs/onnx.md derives it):
//   W[(k,a,b), c, y, x] = sum_ij L[(a,y), i] L[(b,x), j] U[(i,j), k, c],  L[(a,y), i] = A[i,a] B[y,i]
#include "winograd_function.hpp"

#include <fmt/format.h>

#include "proto_build.hpp"
#include "tensor_io.hpp"
#include "winograd_weights.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::onnx {
namespace {

using graph::Ints;

class BodyWriter {
 public:
  explicit BodyWriter(pb::FunctionProto& function) : function_(function) {}

  pb::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs, const std::string& output) {
    pb::NodeProto& node = *function_.add_node();
    node.set_op_type(op);
    set_edges(node, inputs, {output});
    return node;
  }
  std::string constant(const std::string& name, const Tensor& tensor) {
    set_attribute(node("Constant", {}, name), "value", write_tensor("", tensor));
    return name;
  }
  std::string ints(const std::string& name, const Ints& values) {
    return constant(name, Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }

 private:
  pb::FunctionProto& function_;
};

/// [m*p, p]: L[(a, y), i] = A[i, a] B[y, i].
Tensor lift_matrix(const winograd::Algorithm& algorithm) {
  const int p = algorithm.p();
  Tensor lift(DType::f32, {algorithm.m * p, p});
  auto values = lift.mutable_data<float>();
  std::size_t next = 0;
  for (int a = 0; a < algorithm.m; ++a) {
    for (int y = 0; y < p; ++y) {
      for (int i = 0; i < p; ++i) values[next++] = static_cast<float>(algorithm.A(i, a) * algorithm.B(y, i));
    }
  }
  return lift;
}

/// Kept units into zeros: "U" of p*p*K*C elements in the order of [p*p, K, C].
void write_scatter(BodyWriter& body, winograd::Axis axis) {
  body.node("Unsqueeze", {"indices", body.ints("one", {1})}, "index_column");
  body.node("ConstantOfShape", {"shape"}, "zeros");
  switch (axis) {
    case winograd::Axis::row:
      set_attribute(body.node("Flatten", {"zeros"}, "units"), "axis", std::int64_t{2});
      body.node("ScatterND", {"units", "index_column", "values"}, "U");
      return;
    case winograd::Axis::element:
      body.node("Reshape", {"zeros", body.ints("all", {-1})}, "units");
      body.node("ScatterND", {"units", "index_column", "values"}, "U");
      return;
    case winograd::Axis::column:
      set_attribute(body.node("Transpose", {"zeros"}, "zeros_pck"), "perm", Ints{0, 2, 1});
      body.node("Shape", {"zeros_pck"}, "shape_pck");
      set_attribute(body.node("Flatten", {"zeros_pck"}, "units"), "axis", std::int64_t{2});
      body.node("ScatterND", {"units", "index_column", "values"}, "U_units");
      body.node("Reshape", {"U_units", "shape_pck"}, "U_pck");
      set_attribute(body.node("Transpose", {"U_pck"}, "U"), "perm", Ints{0, 2, 1});
      return;
  }
}

/// "W" [K*m*m, C, p, p] from "U".
void write_kernel(BodyWriter& body, const winograd::Algorithm& algorithm) {
  const std::int64_t m = algorithm.m;
  const std::int64_t p = algorithm.p();
  body.constant("lift", lift_matrix(algorithm));
  body.node("Reshape", {"U", body.ints("split_i", {p, -1})}, "U_i");
  body.node("MatMul", {"lift", "U_i"}, "lifted_i");
  body.node("Reshape", {"lifted_i", body.ints("split_j", {m * p, p, -1})}, "U_j");
  body.node("MatMul", {"lift", "U_j"}, "lifted");
  body.node("Slice", {"shape", body.ints("from_K", {1}), body.ints("end", {3})}, "shape_KC");
  body.node("Slice", {"shape", body.ints("from_C", {2}), "end"}, "shape_C");
  set_attribute(body.node("Concat", {body.ints("maps", {m, p, m, p}), "shape_KC"}, "shape_aybxkc"), "axis", std::int64_t{0});
  body.node("Reshape", {"lifted", "shape_aybxkc"}, "W_aybxkc");
  set_attribute(body.node("Transpose", {"W_aybxkc"}, "W_kabcyx"), "perm", Ints{4, 0, 2, 5, 1, 3});
  const std::string rows = body.ints("rows", {-1});
  set_attribute(body.node("Concat", {rows, "shape_C", body.ints("window", {p, p})}, "shape_W"), "axis", std::int64_t{0});
  body.node("Reshape", {"W_kabcyx", "shape_W"}, "W");
}

/// "cut": extents of the output, (H + pads - r + s) / s along each axis.
void write_extents(BodyWriter& body, const graph::WinogradConv& conv) {
  const auto [top, left, bottom, right] = conv.pads;
  pb::NodeProto& extents = body.node("Shape", {"X"}, "extents");
  set_attribute(extents, "start", std::int64_t{2});
  set_attribute(extents, "end", std::int64_t{4});
  const std::int64_t s = conv.stride;
  const Ints growth{top + bottom - conv.r + s, left + right - conv.r + s};
  body.node("Add", {"extents", body.ints("growth", growth)}, s == 1 ? "cut" : "grown");
  if (s != 1) body.node("Div", {"grown", body.ints("stride", {s, s})}, "cut");
}

/// "image" [N, K, H', W'] from "X" and "W". The extra zeros below and right, the inputs of m - 1
/// outputs, let the last, partial tiles run; Slice cuts what they add.
void write_convolution(BodyWriter& body, const graph::WinogradConv& conv, const std::string& output) {
  const std::int64_t m = conv.m;
  const winograd::Algorithm& algorithm = winograd::algorithm(conv.m, conv.r, conv.stride);
  const std::int64_t p = algorithm.p(), step = algorithm.step(), extra = (m - 1) * conv.stride;
  const auto [top, left, bottom, right] = conv.pads;
  pb::NodeProto& convolution = body.node("Conv", {"X", "W"}, "tiles");
  set_attribute(convolution, "kernel_shape", Ints{p, p});
  set_attribute(convolution, "strides", Ints{step, step});
  set_attribute(convolution, "pads", Ints{top, left, bottom + extra, right + extra});
  pb::NodeProto& interleave = body.node("DepthToSpace", {"tiles"}, "covered");
  set_attribute(interleave, "blocksize", m);
  set_attribute(interleave, "mode", std::string("CRD"));
  write_extents(body, conv);
  body.node("Slice", {"covered", body.ints("origin", {0, 0}), "cut", body.ints("spatial", {2, 3})}, output);
}

}  // namespace

std::string overload_of(const graph::WinogradConv& conv, bool has_bias) {
  const std::string stride = conv.stride == 1 ? "" : fmt::format("_s{}", conv.stride);
  return fmt::format("f{}x{}{}_{}{}_p{}", conv.m, conv.r, stride, to_string(conv.mask.axis),
                     has_bias ? "_bias" : "", fmt::join(conv.pads, "_"));
}

pb::FunctionProto winograd_function(const graph::WinogradConv& conv, bool has_bias) {
  pb::FunctionProto function;
  function.set_domain(kWinsDomain);
  function.set_name(kWinogradConv);
  function.set_overload(overload_of(conv, has_bias));
  for (const char* attribute : {"m", "r", "pads", "axis", "shape"}) function.add_attribute(attribute);
  if (conv.stride != 1) function.add_attribute("stride");
  for (const char* input : {"X", "values", "indices"}) function.add_input(input);
  if (has_bias) function.add_input("bias");
  function.add_output("Y");
  auto& opset = *function.add_opset_import();
  opset.set_domain("");
  opset.set_version(kExportOpset);

  BodyWriter body(function);
  auto& shape = *body.node("Constant", {}, "shape").add_attribute();
  shape.set_name("value_ints");
  shape.set_type(pb::AttributeProto::INTS);
  shape.set_ref_attr_name("shape");
  write_scatter(body, conv.mask.axis);
  write_kernel(body, winograd::algorithm(conv.m, conv.r, conv.stride));
  write_convolution(body, conv, has_bias ? "image" : "Y");
  if (has_bias) {
    body.node("Unsqueeze", {"bias", body.ints("bias_axes", {1, 2})}, "bias_image");
    body.node("Add", {"image", "bias_image"}, "Y");
  }
  return function;
}

}  // namespace wins::onnx
