// WinogradConv in standard operators: the exact strided convolution, DepthToSpace, and a crop.
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::graph {
namespace {

class PortableWriter {
 public:
  explicit PortableWriter(Graph& graph) : graph_(graph) {}

  void run() {
    std::vector<Node> originals = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : originals) {
      if (node.as<WinogradConv>())
        replace(node);
      else
        graph_.nodes.push_back(std::move(node));
    }
    remove_unused(graph_);
    infer_shapes(graph_);
  }

 private:
  void replace(const Node& node) {
    const WinogradConv& op = *node.as<WinogradConv>();
    ValueId y = convolution(node, op);
    y = graph_.add_node(node.name + ".depth_to_space", DepthToSpace{op.m, true}, {y});
    y = crop(node, op, y);
    if (node.input(3) != kNone) y = graph_.add_node(node.name + ".residual", Binary{}, {y, node.inputs[3]});
    if (op.activation.kind != UnaryKind::identity) {
      y = graph_.add_node(node.name + ".activation", Unary{op.activation}, {y});
    }
    // The last node makes the value that the rest of the graph reads.
    graph_.nodes.back().outputs = node.outputs;
  }

  /// Extent of spatial axis `i` of the output, -1 when it is dynamic.
  std::int64_t output_extent(const Node& node, std::size_t i) const {
    const auto& shape = graph_.value(node.outputs[0]).shape;
    return shape && shape->size() == 4 ? (*shape)[i + 2] : -1;
  }

  ValueId convolution(const Node& node, const WinogradConv& op) {
    const Tensor* U = graph_.constant_input(node, 1);
    wins::require(U != nullptr, "node '{}': U is not constant", node.name);
    const winograd::Algorithm& algorithm = winograd::algorithm(op.m, op.r, op.stride);
    Tensor weights = winograd::equivalent_convolution(algorithm, *U);
    Conv conv;
    conv.window.kernel = {algorithm.p(), algorithm.p()};
    conv.window.stride = {algorithm.step(), algorithm.step()};
    conv.window.pads = op.pads;
    for (std::size_t i = 0; i < 2; ++i) {
      // Just enough rows for whole tiles. The inputs of m - 1 more outputs always give ceil(H / m) tiles,
      // whatever H is.
      const std::int64_t extent = output_extent(node, i);
      conv.window.pads[i + 2] += (extent < 0 ? op.m - 1 : (op.m - extent % op.m) % op.m) * op.stride;
    }
    std::vector<ValueId> inputs = {node.inputs[0],
                                   graph_.add_constant(node.name + ".weight", std::move(weights))};
    if (node.input(2) != kNone) inputs.push_back(repeated_bias(node, op.m * op.m));
    return graph_.add_node(node.name, conv, std::move(inputs));
  }

  /// The bias of channel k stands m * m times, once for each output pixel of a tile.
  ValueId repeated_bias(const Node& node, std::int64_t times) {
    const Tensor* bias = graph_.constant_input(node, 2);
    wins::require(bias != nullptr && bias->dtype() == DType::f32,
                  "node '{}': the bias is not a constant float32 vector", node.name);
    std::vector<float> values;
    for (const float b : bias->data<float>()) values.insert(values.end(), static_cast<std::size_t>(times), b);
    const auto size = static_cast<std::int64_t>(values.size());
    return graph_.add_constant(node.name + ".bias", Tensor::of<float>({size}, values));
  }

  ValueId crop(const Node& node, const WinogradConv& op, ValueId y) {
    const std::int64_t height = output_extent(node, 0), width = output_extent(node, 1);
    if (height > 0 && width > 0 && height % op.m == 0 && width % op.m == 0) return y;
    const ValueId ends =
        height >= 0 && width >= 0 ? ints(node.name + ".ends", {height, width}) : dynamic_extent(node, op);
    const ValueId starts = ints(node.name + ".starts", {0, 0});
    const ValueId axes = ints(node.name + ".axes", {2, 3});
    return graph_.add_node(node.name + ".crop", Slice{}, {y, starts, ends, axes});
  }

  /// Spatial extents of the output from the shape of the input: (H + pads - r + stride) / stride.
  ValueId dynamic_extent(const Node& node, const WinogradConv& op) {
    const ValueId shape = graph_.add_node(node.name + ".shape", graph::Shape{}, {node.inputs[0]});
    const ValueId indices = ints(node.name + ".spatial", {2, 3});
    const ValueId extents = graph_.add_node(node.name + ".extents", Gather{0}, {shape, indices});
    const std::int64_t fixed = op.stride - op.r;
    const ValueId growth =
        ints(node.name + ".growth", {op.pads[0] + op.pads[2] + fixed, op.pads[1] + op.pads[3] + fixed});
    if (op.stride == 1) return graph_.add_node(node.name + ".ends", Binary{}, {extents, growth});
    const ValueId grown = graph_.add_node(node.name + ".grown", Binary{}, {extents, growth});
    const ValueId stride = ints(node.name + ".stride", {op.stride, op.stride});
    return graph_.add_node(node.name + ".ends", Binary{BinaryKind::div}, {grown, stride});
  }

  ValueId ints(const std::string& name, const Ints& values) {
    return graph_.add_constant(name,
                               Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }

  Graph& graph_;
};

}  // namespace

void to_portable(Graph& graph) {
  PortableWriter(graph).run();
}

}  // namespace wins::graph
