// Row-pruned F(2,3) layers by the fused kernel, and dense 3x3 convolutions where that is asked for.
#include <algorithm>
#include <limits>

#include "activation_step.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "winograd_fused.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/passes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

/// What the kernel needs of a WinogradConv, or of a Conv that it takes as one.
struct WinogradProblem {
  int stride = 1;
  std::array<std::int64_t, 4> pads{};
  winograd::Mask mask;
  graph::Activation activation;
};

WinogradProblem winograd_problem(const Problem& problem) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) return {conv->stride, conv->pads, conv->mask, conv->activation};
  const auto* conv = problem.node.as<graph::Conv>();
  const Shape& weights = problem.input_shape(1);
  return {1, conv->window.pads, winograd::Mask::full(winograd::Axis::row, 16, weights[0], weights[1]), conv->activation};
}

/// A way to cut the layer.
struct Cut {
  FusedShape shape;
  int slice_channels = 0;
  double us = std::numeric_limits<double>::infinity();
};

FusedLayer layer_of(const Problem& problem, const WinogradProblem& given) {
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  FusedLayer layer;
  layer.batch = static_cast<std::int32_t>(in[0]);
  layer.channels = static_cast<std::int32_t>(in[1]);
  layer.height = static_cast<std::int32_t>(in[2]);
  layer.width = static_cast<std::int32_t>(in[3]);
  layer.filters = static_cast<std::int32_t>(out[1]);
  layer.out_height = static_cast<std::int32_t>(out[2]);
  layer.out_width = static_cast<std::int32_t>(out[3]);
  layer.pad_top = static_cast<std::int32_t>(given.pads[0]);
  layer.pad_left = static_cast<std::int32_t>(given.pads[1]);
  layer.input_pitch = static_cast<std::int32_t>(problem.inputs[0].pitch);
  layer.output_pitch = static_cast<std::int32_t>(problem.outputs[0].pitch);
  if (problem.has_input(3)) layer.residual_pitch = static_cast<std::int32_t>(problem.inputs[3].pitch);
  set_activation(given.activation, layer);
  return layer;
}

/// Microseconds of a cut: instructions of a warp by parts of the kernel over what a multiprocessor issues with so many
/// warps. Fitted to 340 cuts of 12 layers in fp16, TF32 and fp32 on an H200: the cut that it chooses took at most 7 %
/// longer than the best one.
double predict_cut(const FusedLayer& layer, const Cut& cut, int stride, Operand operand, int resident) {
  if (resident == 0) return std::numeric_limits<double>::infinity();
  const bool narrow = storage_bytes(operand) == 2;
  const double warps = cut.shape.warps();
  const double products = operand == Operand::f32 ? 19.6 : operand == Operand::tf32 ? 6 : 2.1;
  const double items = cut.shape.items_per_warp * (11.5 + cut.shape.tiles / 16.0 * 4 * products) * (cut.shape.units / kChunkUnits);
  const double turn = 75 + (stride == 1 ? 145 : 222) + 1.1 * layer.max_alive + items;
  const double groups = std::max(1.0, cut.slice_channels / 8.0 * (cut.shape.tiles / 32.0) / warps);
  const double rectangle = 270 + layer.turns * turn + groups * (narrow ? 425 : 300);
  const int rounds = (layer.rectangles + layer.grid_blocks - 1) / layer.grid_blocks;
  const double used = std::min<double>(resident, std::ceil(static_cast<double>(layer.grid_blocks) * layer.slices / device().processors));
  const double scheduler_warps = used * warps / 4;
  const double issued = 4 * 0.78 * scheduler_warps / (scheduler_warps + 3.7);  // a clock
  return 3 + rounds * used * warps * rectangle / issued / 1750;
}

Cut best_cut(const Problem& problem, const WinogradProblem& given) {
  Cut best;
  const auto filters = static_cast<int>(given.mask.rows);
  FusedLayer layer = layer_of(problem, given);
  const std::int64_t chunk = problem.env.unit() * kChunkUnits;
  layer.chunks = static_cast<std::int32_t>((layer.channels + chunk - 1) / chunk);
  for (const int channels : {16, 32, 64, 96, 128, 192, 256, 512}) {
    const int slice_channels = std::min(channels, (filters + 7) / 8 * 8);
    const PackSize size = pack_size(given.mask, slice_channels);
    if (size.slices > kMaxSlices) continue;
    layer.slices = size.slices;
    layer.max_items = size.max_items;
    layer.max_alive = size.max_alive;
    layer.slice_groups = (slice_channels + kGroupChannels - 1) / kGroupChannels;
    if (size.slices * size.max_items > FusedGroups::kMaxItems) continue;
    for (const FusedShape& shape : fused_shapes()) {
      if (size.max_items > shape.max_items()) continue;
      cut_tiles(layer, given.stride, shape.tiles, storage_bytes(problem.env.operand));
      const int resident = lay_out(layer, given.stride, shape, storage_bytes(problem.env.operand), {device().processors, device().shared_bytes});
      Cut cut{shape, slice_channels};
      cut.us = predict_cut(layer, cut, given.stride, problem.env.operand, resident);
      if (cut.us < best.us) best = cut;
    }
    if (channels >= filters) break;
  }
  return best;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (const auto* conv = problem.node.as<graph::WinogradConv>()) {
    if (conv->m != 2 || conv->r != 3) return fmt::format("F({},{})", conv->m, conv->r);
    if (conv->mask.axis != winograd::Axis::row) return "the mask is not of rows";
  } else {
    if (!problem.env.options.winograd) return "Winograd is off";
    const std::string reason = graph::winograd_refusal(problem.env.graph, problem.node);
    if (!reason.empty()) return reason;
  }
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  for (const Layout& layout : {problem.inputs[0], problem.outputs[0]}) {
    if (extent_of(layout) * problem.env.element_bytes() >= INT32_MAX) return "2 GB or more";
    if (extent_of(layout) == 0) return "empty";
  }
  const WinogradProblem given = winograd_problem(problem);
  const int words = (given.mask.positions + 3) / 4 * 4;
  if ((given.mask.rows + 31) / 32 * 4 * words > FusedGroups::kMax) return "too many output channels";
  if (best_cut(problem, given).us == std::numeric_limits<double>::infinity()) return "no cut fits";
  return std::nullopt;
}

double predict(const Problem& problem) { return best_cut(problem, winograd_problem(problem)).us; }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  int stride;
  FusedShape shape;
  FusedLayer layer;
  FusedGroups groups;
  std::shared_ptr<const DeviceBuffer> fragments, bias;
};

std::shared_ptr<Launch> make_launch(const Problem& problem, const WinogradProblem& given, const Cut& cut) {
  const Environment& env = problem.env;
  const Tensor& weights = *problem.constant(1);
  const std::string key = problem.node.name + "/fused/" + std::to_string(cut.slice_channels);
  const auto pack = env.weights.get<RowPack>(key + "/pack", [&] {
    const bool direct = problem.node.as<graph::Conv>() != nullptr;
    const Tensor U = direct ? winograd::transform_weights(winograd::algorithm(2, 3), weights) : weights;
    return pack_rows(U, given.mask, env.operand, cut.slice_channels);
  });
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->stride = given.stride;
  launch->shape = cut.shape;
  FusedLayer& layer = launch->layer;
  layer = layer_of(problem, given);
  layer.chunks = pack->chunks;
  layer.slices = static_cast<std::int32_t>(pack->slices.size());
  layer.max_items = pack->max_items;
  layer.max_alive = pack->max_alive;
  layer.slice_groups = pack->slice_groups();
  std::copy(pack->slices.begin(), pack->slices.end(), layer.slice);
  cut_tiles(layer, given.stride, cut.shape.tiles, storage_bytes(env.operand));
  lay_out(layer, given.stride, cut.shape, storage_bytes(env.operand), {device().processors, device().shared_bytes});
  std::copy(pack->groups.begin(), pack->groups.end(), launch->groups.words);
  std::copy(pack->item_positions.begin(), pack->item_positions.end(), launch->groups.positions);
  launch->fragments = env.weights.get<DeviceBuffer>(
      key + "/fragments", [&] { return DeviceBuffer(pack->fragments.data(), pack->fragments.size() * sizeof(pack->fragments[0])); });
  launch->bias = upload_float_bias(problem);
  return launch;
}

Implementation build(const Problem& problem) {
  const WinogradProblem given = winograd_problem(problem);
  const Cut cut = best_cut(problem, given);
  const auto launch = make_launch(problem, given, cut);
  Implementation result;
  result.name = fmt::format("cuda:winograd_fused_t{}i{}u{}k{}", cut.shape.tiles, cut.shape.items_per_warp, cut.shape.units, cut.slice_channels);
  result.reads = reads_of_convolution(problem);
  result.weight_bytes = launch->fragments->size();
  Step after;
  if (!in_epilogue(given.activation.kind)) after = activation_step(problem.env, problem.outputs[0], given.activation);
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    FusedPointers pointers;
    pointers.input = arguments.inputs[0];
    pointers.output = arguments.outputs[0];
    pointers.residual = residual ? arguments.inputs[3] : nullptr;
    pointers.bias = launch->bias ? static_cast<const float*>(launch->bias->data()) : nullptr;
    pointers.fragments = static_cast<const std::uint32_t*>(launch->fragments->data());
    if (!launch_winograd_fused(launch->operand, launch->stride, launch->shape, launch->layer, pointers, launch->groups, arguments.stream)) {
      check(cudaGetLastError(), "winograd_fused");
      fail("winograd_fused: no kernel for {} tiles, {} items", launch->shape.tiles, launch->shape.items_per_warp);
    }
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel winograd_fused_kernel() { return {"cuda:winograd_fused", refuse, predict, build}; }

}  // namespace wins::runtime::cuda
