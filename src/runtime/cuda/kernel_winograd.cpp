// Row-pruned F(2,3) layers by the fused kernel, and dense 3x3 convolutions where that is asked for.
#include <algorithm>
#include <cmath>
#include <span>

#include "activation_step.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "winograd_fused.hpp"
#include "winograd_prediction.hpp"
#include "winograd_problem.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

/// A way to cut the layer.
struct Cut {
  FusedShape shape;
  int slice_channels = 0;
  double us = 0;  ///< predicted
};

FusedLayer layer_of(const Problem& problem, const WinogradProblem& given) {
  FusedLayer layer;
  set_shapes(problem, given, layer);
  if (problem.max_pool != nullptr) {
    const Shape& pooled = problem.outputs[0].shape;
    layer.max_pool = true;
    layer.out_height = static_cast<std::int32_t>(pooled[2]);
    layer.out_width = static_cast<std::int32_t>(pooled[3]);
  }
  return layer;
}

/// Those that fit, the best predicted first.
std::vector<Cut> cuts_of(const Problem& problem, const WinogradProblem& given) {
  std::vector<Cut> cuts;
  const auto filters = static_cast<int>(given.mask.rows);
  FusedLayer layer = layer_of(problem, given);
  const std::vector<FusedShape> shapes = fused_shapes();
  for (const int channels : {16, 32, 64, 96, 128, 192, 256, 512}) {
    const int slice_channels = std::min(channels, (filters + 7) / 8 * 8);
    const PackSize size = pack_size(given.mask, slice_channels);
    if (size.slices > kMaxSlices) continue;
    layer.slices = size.slices;
    layer.max_items = size.max_items;
    layer.max_alive = size.max_alive;
    layer.slice_groups = (slice_channels + kGroupChannels - 1) / kGroupChannels;
    if (size.slices * size.max_items > FusedGroups::kMaxItems) continue;
    for (const FusedShape& shape : shapes) {
      if (size.max_items > shape.max_items()) continue;
      if (shape.factors == Factors::scaled && (given.stride != 1 || storage_bytes(problem.env.operand) == 2)) continue;
      if (shape.splits > 1 && (given.stride != 1 || device().major < 9)) continue;
      const std::int64_t chunk = factor_channels(problem.env.operand, shape.factors) * kChunkUnits;
      layer.chunks = static_cast<std::int32_t>((layer.channels + chunk - 1) / chunk);
      cut_tiles(layer, given.stride, shape.tiles, storage_bytes(problem.env.operand));
      const int resident = lay_out(layer, given.stride, shape, problem.env.operand, {device().processors, device().shared_bytes});
      Cut cut{shape, slice_channels};
      if (resident == 0) continue;
      cut.us = predict_fused({layer, shape, size, problem.env.operand, given.stride, slice_channels, problem.has_input(3), resident, device().processors});
      cuts.push_back(cut);
    }
    if (channels >= filters) break;
  }
  std::stable_sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) { return a.us < b.us; });
  return cuts;
}

std::string text_of(const Cut& cut) {
  const FusedShape& shape = cut.shape;
  return fmt::format("t{}i{}u{}k{}{}{}", shape.tiles, shape.items_per_warp, shape.units, cut.slice_channels, shape.factors == Factors::scaled ? "h" : "",
                     shape.splits > 1 ? fmt::format("s{}", shape.splits) : "");
}

std::vector<std::string> variants(const Problem& problem) {
  std::vector<std::string> names;
  for (const Cut& cut : cuts_of(problem, winograd_problem(problem))) names.push_back(text_of(cut));
  return names;
}

Cut chosen_cut(const Problem& problem, const WinogradProblem& given) {
  const std::vector<Cut> cuts = cuts_of(problem, given);
  const auto found = std::ranges::find_if(cuts, [&](const Cut& cut) { return problem.variant.empty() || text_of(cut) == problem.variant; });
  require(found != cuts.end(), "winograd_fused has no cut '{}' for it", problem.variant);
  return *found;
}

double predict(const Problem& problem) { return chosen_cut(problem, winograd_problem(problem)).us; }

std::optional<std::string> refuse(const Problem& problem) {
  const auto* pruned = problem.node.as<graph::WinogradConv>();
  if (pruned != nullptr && (pruned->m != 2 || pruned->r != 3)) return fmt::format("F({},{})", pruned->m, pruned->r);
  if (auto reason = refuse_rows(problem)) return reason;
  if (auto reason = refuse_pool(problem)) return reason;
  const WinogradProblem given = winograd_problem(problem);
  if (problem.max_pool != nullptr) {
    if (problem.has_input(3)) return "residual before a pool";
    // The kernel pools before it activates.
    if (given.activation.kind == graph::UnaryKind::leaky_relu && given.activation.alpha < 0) return "falling activation before a pool";
  }
  const int words = (given.mask.positions + 3) / 4 * 4;
  if ((given.mask.rows + 31) / 32 * 4 * words > FusedGroups::kMax) return "too many output channels";
  if (cuts_of(problem, given).empty()) return "no cut fits";
  return std::nullopt;
}

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
  const std::string key = fmt::format("{}{}/fused/{}{}", problem.node.name, companion_suffix(problem), cut.slice_channels, cut.shape.factors == Factors::scaled ? "h" : "");
  const auto pack = env.weights.get<RowPack>(
      key + "/pack", [&] { return pack_rows(winograd_weights(problem), given.mask, env.operand, cut.slice_channels, cut.shape.factors); });
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->stride = given.stride;
  launch->shape = cut.shape;
  FusedLayer& layer = launch->layer;
  layer = layer_of(problem, given);
  layer.chunks = pack->chunks;
  layer.unscale = std::ldexp(1.0F, -pack->exponent);
  layer.slices = static_cast<std::int32_t>(pack->slices.size());
  layer.max_items = pack->max_items;
  layer.max_alive = pack->max_alive;
  layer.slice_groups = pack->slice_groups();
  std::copy(pack->slices.begin(), pack->slices.end(), layer.slice);
  cut_tiles(layer, given.stride, cut.shape.tiles, storage_bytes(env.operand));
  lay_out(layer, given.stride, cut.shape, env.operand, {device().processors, device().shared_bytes});
  std::copy(pack->groups.begin(), pack->groups.end(), launch->groups.words);
  std::copy(pack->item_positions.begin(), pack->item_positions.end(), launch->groups.positions);
  for (std::size_t s = 0; s < pack->slices.size(); ++s) {
    const std::span positions(pack->item_positions.begin() + static_cast<std::ptrdiff_t>(s) * pack->max_items, static_cast<std::size_t>(pack->slices[s].items));
    std::ranges::copy(deal_items(positions, cut.shape), launch->groups.first_item[s]);
  }
  launch->fragments = env.weights.get<DeviceBuffer>(
      key + "/fragments", [&] { return DeviceBuffer(pack->fragments.data(), pack->fragments.size() * sizeof(pack->fragments[0])); });
  launch->bias = upload_winograd_bias(problem);
  return launch;
}

Implementation build(const Problem& problem) {
  const WinogradProblem given = winograd_problem(problem);
  const Cut cut = chosen_cut(problem, given);
  const auto launch = make_launch(problem, given, cut);
  Implementation result;
  result.name = "cuda:winograd_fused_" + text_of(cut) + (problem.max_pool != nullptr ? "+max_pool" : "") + (problem.companion != nullptr ? "+pointwise" : "");
  result.reads = reads_of_convolution(problem);
  result.weights = {launch->fragments, launch->bias};
  result.asks_ahead = true;
  Step after;
  if (!in_epilogue(given.activation.kind)) after = activation_step(problem.env, problem.outputs[0], given.activation);
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    FusedPointers pointers;
    pointers.input = arguments.inputs[0];
    pointers.output = arguments.outputs[0];
    pointers.residual = residual ? arguments.inputs[3] : nullptr;
    pointers.bias = launch->bias ? static_cast<const float*>(launch->bias->data()) : nullptr;
    pointers.ahead = arguments.ahead;
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

Kernel winograd_fused_kernel() {
  return {.name = "cuda:winograd_fused", .refuse = refuse, .predict = predict, .build = build, .variants = variants, .takes_max_pool = true, .takes_companion = true};
}

}  // namespace wins::runtime::cuda
