// WinogradConv of domain wins: read natively, its function body is for other runtimes.
#include <array>

#include "operators.hpp"
#include "winograd_weights.hpp"

namespace wins::onnx {
namespace {

constexpr std::int64_t kLargestExtent = std::int64_t{1} << 20;

wins::Shape read_dense_shape(const NodeReader& node, const graph::WinogradConv& conv) {
  const graph::Ints shape = node.integers("shape");
  require(shape.size() == 3, "shape must be [p*p, K, C]");
  const std::int64_t p = (conv.m - 1) * conv.stride + conv.r;
  require(shape[0] == p * p, "shape[0] = {} but p*p = {}", shape[0], p * p);
  require(shape[1] >= 1 && shape[1] <= kLargestExtent && shape[2] >= 1 && shape[2] <= kLargestExtent,
          "shape {} is out of range", wins::to_string(shape));
  return shape;
}

Tensor required_constant(const NodeReader& node, std::size_t i, DType dtype, const char* what) {
  const auto value = node.constant(i);
  require(value.has_value(), "{} must be an initialiser", what);
  require(value->dtype() == dtype, "{} must be {}", what, name_of(dtype));
  return *value;
}

void read_winograd_conv(NodeReader& node) {
  graph::WinogradConv conv;
  const std::int64_t m = node.integer("m", 0);
  const std::int64_t r = node.integer("r", 3);
  require(m >= 1 && r >= 1 && m + r - 1 <= 10, "F({0}x{0}, {1}x{1}) is out of range", m, r);
  conv.m = static_cast<int>(m);
  conv.r = static_cast<int>(r);
  const std::int64_t stride = node.integer("stride", 1);
  require(stride == 1 || (stride == 2 && m == 2 && r == 3),
          "stride {} with F({}x{}, {}x{}) is not supported (stride 1, or 2 with F(2x2, 3x3))", stride, m, m, r, r);
  conv.stride = static_cast<int>(stride);
  const graph::Ints pads = node.integers("pads");
  require(pads.size() == 4, "pads must have four entries");
  for (std::size_t i = 0; i < 4; ++i) {
    require(pads[i] >= 0 && pads[i] <= kLargestExtent, "pads {} is out of range", pads[i]);
    conv.pads[i] = pads[i];
  }
  const winograd::Axis axis = parse_axis(node.text("axis", "row"));
  const wins::Shape shape = read_dense_shape(node, conv);
  node.take_dense(element_count(shape));
  const CarriedWeights carried{required_constant(node, 1, DType::f32, "values"),
                               required_constant(node, 2, DType::i64, "indices")};
  RestoredWeights restored = restore(axis, shape, carried);
  conv.mask = std::move(restored.mask);
  const graph::ValueId weights = node.add_constant("U", std::move(restored.U));
  node.emit_first(conv, {node.required(0), weights, node.input(3)});
}

constexpr std::array kOperators{
    Operator{"WinogradConv", "wins", read_winograd_conv, "see below"},
};

}  // namespace

std::span<const Operator> winograd_operators() { return kOperators; }

}  // namespace wins::onnx
