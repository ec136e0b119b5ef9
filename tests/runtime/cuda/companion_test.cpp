// A 1x1 convolution in the step of the 3x3 one beside it: Fire modules.
#include <cmath>

#include "layer_check.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda_test {
namespace {

/// A 3x3 layer, "conv", and how many 1x1 filters, "expand1", stand beside it.
struct Fire {
  const char* layer;
  std::int64_t pointwise;
  bool first = true;  ///< the 1x1 convolution's channels
};

layers::Layer fire_layer(const Fire& fire) {
  layers::Layer layer = layers::make_layer(parse_conv_problem(fire.layer));
  Graph& graph = layer.graph;
  const Node three = graph.nodes.at(0);
  const auto* pruned = three.as<WinogradConv>();
  const std::int64_t channels = layer.inputs.at(0).dim(1);
  Conv conv;
  conv.activation = pruned != nullptr ? pruned->activation : three.as<Conv>()->activation;
  const ValueId weights = graph.add_constant("w1", random_normal({fire.pointwise, channels, 1, 1}, 1, 1 / std::sqrt(static_cast<float>(channels))));
  std::vector<ValueId> inputs{three.inputs[0], weights};
  if (three.input(2) != kNone) inputs.push_back(graph.add_constant("b1", random_normal({fire.pointwise}, 3)));
  const ValueId one = graph.add_node("expand1", conv, inputs);
  graph.outputs = {graph.add_node("both", Concat{1}, fire.first ? std::vector<ValueId>{one, three.outputs[0]} : std::vector<ValueId>{three.outputs[0], one})};
  return layer;
}

constexpr Fire kFires[] = {
    {"mb1ic16ih13iw11oc64kh3ph1:m2:rows30.40.22.35.28.33.30.41.25.36.30.27.38.31.29.34:bias+relu", 64},
    {"mb2ic48ih12iw14oc40kh3ph1:m2:rows20.0.31.12.40.18.22.9.27.20.0.15.24.33.19.21:bias+relu", 24, false},
    {"mb1ic64ih7iw9oc30kh3ph1:m2:rows15.9.0.20.12.30.14.8.17.11.13.0.22.16.10.19:bias+relu", 13},  // no multiples of a group of channels
    {"mb3ic20ih5iw6oc16kh3ph1:bias+relu", 8, false},
    {"mb1ic32ih10oc120kh3ph1:m2:rows60.50.71.44.66.58.49.63.55.70.48.61.52.67.59.64", 200},
    {"mb2ic64ih13oc256kh3ph1:bias+relu", 256},
};

class CudaCompanion : public Operators {};

TEST_F(CudaCompanion, OneStepGivesBoth) {
  for (const Fire& fire : kFires) {
    const layers::Layer layer = fire_layer(fire);
    const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
    for (const PrecisionCase& precision : kPrecisions) {
      SCOPED_TRACE(std::string(fire.layer) + " " + precision.name);
      SessionOptions options;
      options.force_kernel = "cuda:winograd_fused";
      const Plan plan = run_layer(layer, reference, precision.precision, options);
      EXPECT_TRUE(matches(kernel_of(plan, "conv"), "cuda:winograd_fused_*+pointwise")) << plan.text();
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
  expect_kernel(plan, "conv", "cuda:implicit");
}

TEST_F(CudaCompanion, OfOneImageItIsTaken) {
  const layers::Layer layer = fire_layer({"mb1ic32ih27oc128kh3ph1:m2:rows60.50.71.44.66.58.49.63.55.70.48.61.52.67.59.64:bias+relu", 128});
  const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
  EXPECT_TRUE(matches(kernel_of(run_layer(layer, reference, Precision::fp16, {}), "conv"), "cuda:winograd_fused_*+pointwise"));
}

}  // namespace
}  // namespace wins::runtime::cuda_test
