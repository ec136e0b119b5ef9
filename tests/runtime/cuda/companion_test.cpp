// A 1x1 convolution in the step of the 3x3 one beside it: Fire modules.
#include <cmath>

#include "layer_check.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct Fire {
  std::int64_t batch, channels, height, width, pointwise, filters;
  bool first = true;  ///< the 1x1 convolution's channels
  bool pruned = true;
  UnaryKind activation = UnaryKind::relu;
  bool biases = true;
};

Tensor scaled(const wins::Shape& shape, std::uint64_t seed, std::int64_t terms) {
  Tensor tensor = random_normal(shape, seed);
  for (float& value : tensor.mutable_data<float>()) value /= std::sqrt(static_cast<float>(terms));
  return tensor;
}

/// F(2,3) with about half of the rows, "expand3".
ValueId add_pruned(Graph& graph, const Fire& fire, ValueId x, ValueId bias) {
  WinogradConv conv;
  conv.mask = winograd::Mask::full(winograd::Axis::row, 16, fire.filters, fire.channels);
  conv.activation.kind = fire.activation;
  Tensor U = scaled({16, fire.filters, fire.channels}, 2, 9 * fire.channels);
  const auto u = U.mutable_data<float>();
  for (std::size_t row = 0; row < conv.mask.keep.size(); ++row) {
    if (row * 2654435761U >> 7 & 1U) continue;
    conv.mask.keep[row] = 0;
    std::fill_n(u.begin() + static_cast<std::ptrdiff_t>(row) * fire.channels, fire.channels, 0.0F);
  }
  return graph.add_node("expand3", conv, {x, graph.add_constant("U", std::move(U)), bias});
}

layers::Layer fire_layer(const Fire& fire) {
  layers::Layer layer;
  Graph& graph = layer.graph;
  const wins::Shape shape{fire.batch, fire.channels, fire.height, fire.width};
  const ValueId x = graph.add_value("x", DType::f32, shape);
  graph.inputs = {x};
  const auto bias = [&](const char* name, std::int64_t filters, std::uint64_t seed) { return fire.biases ? graph.add_constant(name, random_normal({filters}, seed)) : kNone; };
  Conv pointwise;
  pointwise.activation.kind = fire.activation;
  const ValueId one = graph.add_node("expand1", pointwise, {x, graph.add_constant("w1", scaled({fire.pointwise, fire.channels, 1, 1}, 1, fire.channels)), bias("b1", fire.pointwise, 3)});
  const ValueId b3 = bias("b3", fire.filters, 4);
  ValueId three = kNone;
  if (fire.pruned) {
    three = add_pruned(graph, fire, x, b3);
  } else {
    Conv conv;
    conv.window.kernel = {3, 3};
    conv.window.pads = {1, 1, 1, 1};
    conv.activation.kind = fire.activation;
    three = graph.add_node("expand3", conv, {x, graph.add_constant("w3", scaled({fire.filters, fire.channels, 3, 3}, 2, 9 * fire.channels)), b3});
  }
  graph.outputs = {graph.add_node("both", Concat{1}, fire.first ? std::vector<ValueId>{one, three} : std::vector<ValueId>{three, one})};
  layer.inputs = {random_normal(shape, 5)};
  return layer;
}

constexpr Fire kFires[] = {
    {1, 16, 13, 11, 64, 64},
    {2, 48, 12, 14, 24, 40, false},
    {1, 64, 7, 9, 13, 30},  // no multiples of a group of channels
    {3, 20, 5, 6, 8, 16, false, false},
    {1, 32, 10, 10, 200, 120, true, true, UnaryKind::identity, false},
    {2, 64, 13, 13, 256, 256, true, false},
};

class CudaCompanion : public Operators {};

TEST_F(CudaCompanion, OneStepGivesBoth) {
  for (const Fire& fire : kFires) {
    const layers::Layer layer = fire_layer(fire);
    const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
    for (const PrecisionCase& precision : kPrecisions) {
      SCOPED_TRACE(std::to_string(fire.channels) + " channels " + precision.name);
      SessionOptions options;
      options.force_kernel = "cuda:winograd_fused";
      const Plan plan = run_layer(layer, reference, precision.precision, options);
      EXPECT_TRUE(matches(kernel_of(plan, "expand3"), "cuda:winograd_fused_*+pointwise")) << plan.text();
      EXPECT_EQ(kernel_of(plan, "expand1"), "none");
    }
  }
}

TEST_F(CudaCompanion, OtherKernelsLeaveItAlone) {
  const layers::Layer layer = fire_layer(kFires[3]);
  const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
  SessionOptions options;
  options.force_kernel = "cuda:implicit";
  const Plan plan = run_layer(layer, reference, Precision::fp16, options);
  expect_kernel(plan, "expand1", "cuda:implicit");
  expect_kernel(plan, "expand3", "cuda:implicit");
}

TEST_F(CudaCompanion, OfOneImageItIsTaken) {
  const layers::Layer layer = fire_layer({1, 32, 27, 27, 128, 128});
  const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
  EXPECT_TRUE(matches(kernel_of(run_layer(layer, reference, Precision::fp16, {}), "expand3"), "cuda:winograd_fused_*+pointwise"));
}

}  // namespace
}  // namespace wins::runtime::cuda_test
