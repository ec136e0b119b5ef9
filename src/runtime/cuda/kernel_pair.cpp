// Two 1x1 convolutions in one step, by the pair product.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fused_activation.hpp"
#include "kernels.hpp"
#include "pair_product.hpp"
#include "problem_facts.hpp"
#include "product_problem.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

/// The second layer by itself. It reads output 0 of the first.
Problem second_of(const Problem& problem) {
  Problem second{problem.env, *problem.next, {problem.outputs[0]}, {problem.outputs.back()}};
  second.inputs.resize(problem.next->inputs.size());
  return second;
}

std::int64_t chunks_of(const Problem& problem) { return (input_units(problem) + kChunkUnits - 1) / kChunkUnits; }
PairCut cut_of(const Problem& problem) { return cut_pair(chunks_of(problem), second_of(problem).output_shape()[1], device().shared_bytes); }

std::optional<std::string> refuse(const Problem& problem) {
  if (storage_bytes(problem.env.operand) != 2) return "fp16 and bf16 alone: elsewhere products take longer than bytes";
  const Problem second = second_of(problem);
  for (const Problem* layer : {&problem, &second}) {
    if (auto reason = refuse_product(*layer)) return reason;
    if (!in_epilogue(layer->node.as<graph::Conv>()->activation.kind)) return "activation that no epilogue has";
  }
  if (problem.output_shape()[1] % kPairMiddle != 0) return fmt::format("channels between the two that are no multiple of {}", kPairMiddle);
  if (second.output_shape()[1] > kMostPairFilters) return fmt::format("more than {} filters of the second", kMostPairFilters);
  if (chunks_of(problem) > kMostPairChunks || cut_of(problem).resident == 0) return "too many input channels";
  return std::nullopt;
}

/// Bytes of what it reads and writes once, and, where there are few blocks, a turn after the other.
double predict(const Problem& problem) {
  const Problem second = second_of(problem);
  const PairCut cut = cut_of(problem);
  const double bytes = product_bytes(problem) + product_bytes(second) - static_cast<double>(element_count(problem.output_shape()) * problem.env.element_bytes());
  const Shape& out = problem.output_shape();
  const double blocks = std::ceil(static_cast<double>(out[0] * out[2] * out[3]) / kPairPixels);
  const double rounds = std::ceil(blocks / (device().processors * cut.resident));
  const double turn = 0.5 + 0.2 * static_cast<double>(chunks_of(problem)) + 0.15 * (cut.tile == ProductTile::wide ? 2 : 1);
  return std::max(3 + 1.25 * bytes / device().bandwidth, rounds * (3 + turn * static_cast<double>(out[1] / kPairMiddle)));
}

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  PairCut cut;
  PairLayer layer;
  std::shared_ptr<const DeviceBuffer> first_filters, second_filters, first_bias, second_bias;
};

PairOutput output_of(const Problem& problem) {
  PairOutput output;
  output.filters = static_cast<std::int32_t>(problem.output_shape()[1]);
  output.pitch = static_cast<std::int32_t>(problem.outputs[0].pitch);
  set_activation(problem.node.as<graph::Conv>()->activation, output);
  return output;
}

PairLayer layer_of(const Problem& problem, const Problem& second) {
  const ProductLayer product = product_layer(problem);
  PairLayer layer;
  layer.pixels = product.batch * product.out_height * product.out_width;
  layer.height = product.height;
  layer.width = product.width;
  layer.stride_y = product.stride_y;
  layer.stride_x = product.stride_x;
  layer.by_out_image = product.by_out_image;
  layer.by_out_width = product.by_out_width;
  layer.input_pitch = product.input_pitch;
  layer.residual_pitch = product.residual_pitch;
  layer.units = static_cast<std::int32_t>(input_units(problem));
  layer.chunks = static_cast<std::int32_t>(chunks_of(problem));
  layer.turns = static_cast<std::int32_t>(problem.output_shape()[1] / kPairMiddle);
  layer.second_items = static_cast<std::int32_t>((second.output_shape()[1] + kItemRows - 1) / kItemRows);
  layer.first = output_of(problem);
  layer.second = output_of(second);
  return layer;
}

Implementation build(const Problem& problem) {
  const Problem second = second_of(problem);
  auto launch = std::make_shared<Launch>();
  launch->operand = problem.env.operand;
  launch->cut = cut_of(problem);
  launch->layer = layer_of(problem, second);
  launch->first_filters = packed_filters(problem).buffer;
  launch->second_filters = packed_filters(second).buffer;
  launch->first_bias = upload_float_bias(problem);
  launch->second_bias = upload_float_bias(second);
  Implementation result;
  result.name = fmt::format("cuda:pair_{}x{}", kPairPixels, kProductTiles[static_cast<int>(launch->cut.tile)].filters);
  result.reads = reads_of_convolution(problem);
  result.weight_bytes = launch->first_filters->size() + launch->second_filters->size();
  const bool residual = problem.has_input(3);
  result.step = [launch, residual](const Arguments& arguments) {
    const auto floats = [](const std::shared_ptr<const DeviceBuffer>& bias) { return bias ? static_cast<const float*>(bias->data()) : nullptr; };
    PairPointers pointers;
    pointers.input = arguments.inputs[0];
    pointers.residual = residual ? arguments.inputs[3] : nullptr;
    pointers.middle = arguments.outputs[0];
    pointers.output = arguments.outputs[1];
    pointers.first_bias = floats(launch->first_bias);
    pointers.second_bias = floats(launch->second_bias);
    pointers.first_filters = static_cast<const std::uint32_t*>(launch->first_filters->data());
    pointers.second_filters = static_cast<const std::uint32_t*>(launch->second_filters->data());
    if (!launch_pair_product(launch->operand, launch->cut, launch->layer, pointers, arguments.stream)) check(cudaGetLastError(), "pair product");
  };
  return result;
}

}  // namespace

Kernel pair_kernel() { return {.name = "cuda:pair", .refuse = refuse, .predict = predict, .build = build, .takes_next = true, .on_request = true}; }

}  // namespace wins::runtime::cuda
