// Convolutions with one group by our own product of pixels and filters.
#include <limits>

#include "activation_step.hpp"
#include "fused_activation.hpp"
#include "implicit_product.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/cuda/filter_pack.hpp"

namespace wins::runtime::cuda {
namespace {

std::optional<std::string> refuse(const Problem& problem) {
  const auto& conv = *problem.node.as<graph::Conv>();
  if (conv.group != 1) return "groups";
  if (conv.window.auto_pad != graph::AutoPad::none) return "auto_pad is not resolved";
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  const Shape& out = problem.output_shape();
  if (extent_of(problem.inputs[0]) == 0 || extent_of(problem.outputs[0]) == 0) return "empty";
  if (out[0] * out[2] * out[3] > INT32_MAX - kProductPixels) return "2^31 pixels or more";
  if ((out[1] + kProductFilters - 1) / kProductFilters > 65535) return "too many filters";
  return std::nullopt;
}

/// Its rates are not known yet: until they are, nobody gets it without asking (`force_kernel`).
double predict(const Problem&) { return std::numeric_limits<double>::infinity(); }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  ProductLayer layer;
  std::shared_ptr<const DeviceBuffer> fragments, bias;
};

ProductLayer layer_of(const Problem& problem, const FilterPack& pack) {
  const auto& window = problem.node.as<graph::Conv>()->window;
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  const auto as_int = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  ProductLayer layer;
  layer.batch = as_int(in[0]);
  layer.height = as_int(in[2]);
  layer.width = as_int(in[3]);
  layer.filters = as_int(out[1]);
  layer.out_height = as_int(out[2]);
  layer.out_width = as_int(out[3]);
  layer.kernel_rows = as_int(window.kernel[0]);
  layer.stride_y = as_int(window.stride[0]);
  layer.stride_x = as_int(window.stride[1]);
  layer.dilation_y = as_int(window.dilation[0]);
  layer.dilation_x = as_int(window.dilation[1]);
  layer.pad_top = as_int(window.pads[0]);
  layer.pad_left = as_int(window.pads[1]);
  layer.input_pitch = as_int(problem.inputs[0].pitch);
  layer.output_pitch = as_int(problem.outputs[0].pitch);
  if (problem.has_input(3)) layer.residual_pitch = as_int(problem.inputs[3].pitch);
  set_activation(problem.node.as<graph::Conv>()->activation, layer);
  layer.items = pack.items;
  layer.row_units = pack.row_units;
  layer.row_chunks = pack.row_chunks;
  layer.by_units = Divisor((in[1] + problem.env.unit() - 1) / problem.env.unit());
  layer.by_out_image = Divisor(out[2] * out[3]);
  layer.by_out_width = Divisor(out[3]);
  return layer;
}

Implementation build(const Problem& problem) {
  const Environment& env = problem.env;
  const auto pack = env.weights.get<FilterPack>(problem.node.name + "/implicit/pack", [&] { return pack_filters(*problem.constant(1), env.operand); });
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->layer = layer_of(problem, *pack);
  launch->fragments = env.weights.get<DeviceBuffer>(problem.node.name + "/implicit", [&] {
    return DeviceBuffer(pack->fragments.data(), pack->fragments.size() * sizeof(pack->fragments[0]));
  });
  launch->bias = upload_float_bias(problem);
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (!in_epilogue(activation.kind)) after = activation_step(env, problem.outputs[0], activation);
  Implementation result;
  result.name = "cuda:implicit";
  result.reads = reads_of_convolution(problem);
  result.weight_bytes = launch->fragments->size();
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    ProductPointers pointers;
    pointers.input = arguments.inputs[0];
    pointers.output = arguments.outputs[0];
    pointers.residual = residual ? arguments.inputs[3] : nullptr;
    pointers.bias = launch->bias ? static_cast<const float*>(launch->bias->data()) : nullptr;
    pointers.fragments = static_cast<const std::uint32_t*>(launch->fragments->data());
    if (!launch_implicit_product(launch->operand, launch->layer, pointers, arguments.stream)) check(cudaGetLastError(), "implicit product");
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel implicit_kernel() { return {"cuda:implicit", refuse, predict, build}; }

}  // namespace wins::runtime::cuda
