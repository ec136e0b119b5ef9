// Convolutions by the line product, 1x1 ones also with a batch norm before them or another one added.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "activation_step.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "line_product.hpp"
#include "problem_facts.hpp"
#include "product_lines.hpp"
#include "product_problem.hpp"
#include "stream_product.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cuda {
namespace {

/// The summand by itself; it writes where the layer does.
Problem summand_of(const Problem& problem) {
  Problem summand{problem.env, *problem.summand, {problem.inputs[3]}, {problem.outputs[0]}};
  summand.inputs.resize(problem.summand->inputs.size());
  return summand;
}

std::optional<std::string> refuse_summand(const Problem& problem) {
  if (problem.prologue.norm != nullptr) return "batch norm before it, and a convolution that it adds";
  return refuse_product(summand_of(problem));
}

/// Windows that the copy engine cannot find.
std::optional<std::string> refuse_windows(const Problem& problem) {
  const auto& window = problem.node.as<graph::Conv>()->window;
  const auto is_corner = [](std::int64_t at) { return at >= -128 && at <= 127; };
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (window.stride[axis] > kMaxLineStride) return fmt::format("a stride above {}", kMaxLineStride);
    const std::int64_t last = last_window(problem.output_shape()[axis + 2], window.stride[axis], window.pads[axis], problem.input_shape(0)[axis + 2]);
    if ((window.kernel[axis] - 1) * window.dilation[axis] > 255 || !is_corner(-window.pads[axis]) || !is_corner(last)) return "a kernel wider than the copy engine takes";
  }
  return std::nullopt;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (problem.env.operand == Operand::f32) return "fp32";
  if (device().major != 9) return "the device is not of compute capability 9.0";
  const bool alone = problem.prologue.norm == nullptr && problem.summand == nullptr;
  if (auto reason = alone ? refuse_windows(problem) : refuse_pointwise(*problem.node.as<graph::Conv>(), kMaxLineStride)) return reason;
  if (auto reason = refuse_product(problem)) return reason;
  if (problem.summand != nullptr) {
    if (auto reason = refuse_summand(problem)) return reason;
  }
  if (problem.prologue.norm != nullptr && !has_constant_statistics(problem.env.graph, *problem.prologue.norm)) return "the statistics of the batch norm before it are not constant";
  return std::nullopt;
}

/// Microseconds, fitted to the 1x1 layers of three networks at batch 1 and 64, with a batch norm to those of DenseNet-121 (H200; bench/layers/cuda.cpp, wins
/// bench --tune): on average 5 to 9 % off.
struct Times {
  double launch;
  double full, full_chunk;      ///< of two blocks of each multiprocessor: once, and for each chunk
  double single, single_chunk;  ///< where no multiprocessor has more than one
};
Times times_of(const Problem& problem, int filters) {
  if (problem.prologue.norm == nullptr) return filters == 128 ? Times{3.2, 5.7, 0.74, 2.4, 0.50} : Times{2.0, 3.8, 0.45, 1.4, 0.37};
  return filters == 128 ? Times{2.0, 6.8, 1.03, 4.4, 0.67} : Times{2.0, 4.7, 0.65, 2.3, 0.49};
}
/// Bytes a microsecond of all blocks of a device with 132 multiprocessors: what they have on its way at once.
constexpr double kMostTraffic = 2.8e6;
/// Layers that a library takes too: there cuBLAS was 18 % faster on average, on an H100 and an H200, closer than its prediction is to its times.
constexpr double kPlain = 1.15;
/// Larger kernels in TF32, of 11 at batch 64 and 2 at batch 1 (H200).
constexpr double kTf32Taps = 1.15;

std::int64_t taps_of(const Problem& problem) {
  const auto& kernel = problem.node.as<graph::Conv>()->window.kernel;
  return kernel[0] * kernel[1];
}
std::int64_t tap_chunks(const Problem& problem) { return divide_up(input_units(problem), kChunkUnits); }
/// Of the layer's own input.
std::int64_t own_chunks(const Problem& problem) { return taps_of(problem) * tap_chunks(problem); }
std::int64_t all_chunks(const Problem& problem) { return own_chunks(problem) + (problem.summand != nullptr ? own_chunks(summand_of(problem)) : 0); }

/// Of pixels that are read, of the summand's too, of outputs and a residual, and of weights.
double bytes_of(const Problem& problem) {
  const Shape& out = problem.output_shape();
  const auto pixels = static_cast<double>(out[0] * out[2] * out[3]), filters = static_cast<double>(out[1]);
  auto channels = static_cast<double>(problem.input_shape(0)[1]);
  if (problem.summand != nullptr) channels += static_cast<double>(summand_of(problem).input_shape(0)[1]);
  const double results = problem.has_input(3) && problem.summand == nullptr ? 2 : 1;
  const auto taps = static_cast<double>(taps_of(problem));
  return (pixels * (channels + results * filters) + taps * channels * filters) * static_cast<double>(problem.env.element_bytes());
}

bool is_plain(const Problem& problem) {
  const auto& window = problem.node.as<graph::Conv>()->window;
  return problem.prologue.norm == nullptr && problem.summand == nullptr && window.stride[0] * window.stride[1] == 1 && taps_of(problem) == 1;
}

/// Filters of a block, and microseconds.
struct LineCut {
  int filters = 64;
  double us = 0;
  std::optional<StreamCut> stream = {};
};

/// By blocks that stay (stream_product.hpp), where they take it.
std::optional<LineCut> stream_cut(const Problem& problem, int filters) {
  const Shape& out = problem.output_shape();
  if (problem.prologue.norm != nullptr || taps_of(problem) > 1 || problem.tiles_to != nullptr || out[1] % problem.env.unit() != 0) return std::nullopt;
  const auto cut = cut_stream(out[0] * out[2] * out[3], out[1], all_chunks(problem), {filters, static_cast<int>(problem.env.element_bytes())}, {device().processors, device().shared_bytes});
  return cut ? std::optional(LineCut{filters, 0, cut}) : std::nullopt;
}

/// The fastest by prediction first.
std::vector<LineCut> cuts_of(const Problem& problem) {
  const Shape& out = problem.output_shape();
  const auto chunks = static_cast<double>(all_chunks(problem));
  const int processors = device().processors;
  const double longer = taps_of(problem) > 1 && problem.env.operand == Operand::tf32 ? kTf32Taps : 1;
  const double moved = bytes_of(problem) / std::min(0.75 * device().bandwidth, kMostTraffic * processors / 132);
  std::vector<LineCut> cuts;
  for (const int filters : {64, 128}) {
    if (filters > 64 && out[1] <= 64) continue;
    const Times t = times_of(problem, filters);
    const std::int64_t tiles = divide_up(out[0] * out[2] * out[3], kLinePixels) * divide_up(out[1], filters);
    const double busy = tiles <= processors ? t.single + chunks * t.single_chunk
                                            : static_cast<double>(divide_up(tiles, 2 * processors)) * (t.full + chunks * t.full_chunk);
    cuts.push_back({filters, (is_plain(problem) ? kPlain : 1) * (t.launch + std::max(longer * busy, moved))});
  }
  std::ranges::stable_sort(cuts, {}, &LineCut::us);
  return cuts;
}

std::string text_of(const LineCut& cut) { return fmt::format("{}{}x{}", cut.stream ? "stream" : "", kLinePixels, cut.filters); }

std::vector<std::string> variants(const Problem& problem) {
  std::vector<std::string> names;
  for (const LineCut& cut : cuts_of(problem)) names.push_back(text_of(cut));
  return names;
}

LineCut cut_of(const Problem& problem) {
  std::vector<LineCut> cuts = cuts_of(problem);
  if (problem.variant.empty()) return cuts.at(0);
  for (const int filters : {64, 128}) {
    if (const auto cut = stream_cut(problem, filters)) cuts.push_back(*cut);
  }
  const auto found = std::ranges::find_if(cuts, [&](const LineCut& cut) { return text_of(cut) == problem.variant; });
  require(found != cuts.end(), "lines has no cut '{}' for it", problem.variant);
  return *found;
}

double predict(const Problem& problem) { return cut_of(problem).us; }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  LineCut cut;
  ProductLayer layer;
  LinePointers lines;  ///< without the summand's input, which each run has
  std::shared_ptr<const DeviceBuffer> filters, bias, affine;
};

/// [filters][channels of whole chunks, then those of the summand][1][1].
Tensor weights_with_summand(const Problem& problem) {
  const Tensor &own = *problem.constant(1), &added = *summand_of(problem).constant(1);
  const std::int64_t first = own_chunks(problem) * kChunkUnits * problem.env.unit(), channels = own.dim(1), more = added.dim(1);
  Tensor weights(DType::f32, {own.dim(0), first + more, 1, 1});
  for (std::int64_t k = 0; k < own.dim(0); ++k) {
    const auto row = weights.mutable_data<float>().subspan(static_cast<std::size_t>(k * (first + more)));
    std::ranges::copy(own.data<float>().subspan(static_cast<std::size_t>(k * channels), static_cast<std::size_t>(channels)), row.begin());
    std::ranges::copy(added.data<float>().subspan(static_cast<std::size_t>(k * more), static_cast<std::size_t>(more)), row.begin() + first);
  }
  return weights;
}

/// [filters][taps, each with the channels of whole chunks][1][1].
Tensor weights_by_tap(const Problem& problem) {
  const Tensor& given = *problem.constant(1);
  const std::int64_t taps = taps_of(problem), channels = given.dim(1), padded = tap_chunks(problem) * kChunkUnits * problem.env.unit();
  Tensor weights(DType::f32, {given.dim(0), taps * padded, 1, 1});
  const auto from = given.data<float>();
  auto to = weights.mutable_data<float>();
  for (std::int64_t k = 0; k < given.dim(0); ++k) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        to[static_cast<std::size_t>((k * taps + tap) * padded + c)] = from[static_cast<std::size_t>((k * channels + c) * taps + tap)];
      }
    }
  }
  return weights;
}

/// Of both convolutions; null where neither has one.
std::shared_ptr<const DeviceBuffer> upload_both_biases(const Problem& problem) {
  std::vector<float> sum(static_cast<std::size_t>(problem.output_shape()[1]), 0.0F);
  bool any = false;
  for (const Tensor* bias : {problem.constant(2), summand_of(problem).constant(2)}) {
    if (bias == nullptr) continue;
    any = true;
    std::ranges::transform(sum, bias->data<float>(), sum.begin(), std::plus<>());
  }
  return any ? upload_floats(problem.env, problem.node.name + "/lines/bias", sum) : nullptr;
}

std::shared_ptr<const Launch> make_launch(const Problem& problem) {
  const Environment& env = problem.env;
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->cut = cut_of(problem);
  const int filters = launch->cut.filters;
  launch->layer = product_layer(problem);
  launch->layer.row_units = static_cast<std::int32_t>(input_units(problem));
  if (problem.prologue.relu != nullptr) launch->layer.input_low = 0;
  LinePointers& lines = launch->lines;
  lines.chunks = static_cast<std::int32_t>(all_chunks(problem));
  lines.own_chunks = static_cast<std::int32_t>(own_chunks(problem));
  if (problem.summand != nullptr) {
    lines.added_units = static_cast<std::int32_t>(input_units(summand_of(problem)));
    lines.added_pitch = static_cast<std::int32_t>(problem.inputs[3].pitch);
  }
  lines.by_filter_tiles = Divisor(divide_up(problem.output_shape()[1], filters));
  lines.by_tap_chunks = Divisor(tap_chunks(problem));
  lines.by_kernel_columns = Divisor(problem.node.as<graph::Conv>()->window.kernel[1]);
  launch->filters = env.weights.get<DeviceBuffer>(fmt::format("{}/lines/{}{}", problem.node.name, filters, problem.summand != nullptr ? "/sum" : ""), [&] {
    const Tensor weights = problem.summand != nullptr ? weights_with_summand(problem) : taps_of(problem) > 1 ? weights_by_tap(problem) : *problem.constant(1);
    const std::vector<std::uint32_t> words = pack_lines(weights, env.operand, filters);
    return DeviceBuffer(words.data(), words.size() * sizeof(words[0]));
  });
  lines.filters = static_cast<const std::uint32_t*>(launch->filters->data());
  launch->bias = problem.summand != nullptr ? upload_both_biases(problem) : upload_float_bias(problem);
  if (problem.prologue.norm != nullptr) {
    const ScaleShift given = scale_shift_of(env.graph, *problem.prologue.norm);
    launch->affine = upload_floats(env, problem.node.name + "/lines/norm", pack_affine(given.scale, given.shift, env.operand));
    lines.affine = static_cast<const float*>(launch->affine->data());
  }
  return launch;
}

Implementation build(const Problem& problem) {
  const auto launch = make_launch(problem);
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (!in_epilogue(activation.kind)) after = activation_step(problem.env, problem.outputs[0], activation);
  Implementation result;
  result.name = "cuda:lines_" + text_of(launch->cut);
  result.name += problem.summand != nullptr ? "+sum" : prologue_suffix(problem);
  result.reads = reads_of_convolution(problem);
  result.weights = {launch->filters, launch->bias, launch->affine};
  result.asks_ahead = true;
  const bool adds = problem.summand != nullptr, residual = problem.has_input(3) && !adds;
  result.step = [launch, after, adds, residual](const Arguments& arguments) {
    const ProductPointers pointers = product_pointers(arguments, residual, launch->bias);
    LinePointers lines = launch->lines;
    lines.ahead = arguments.ahead;
    if (adds) lines.added = arguments.inputs[3];
    const bool launched = launch->cut.stream ? launch_stream_product(launch->operand, *launch->cut.stream, launch->layer, pointers, lines, arguments.stream)
                                             : launch_line_product(launch->operand, launch->cut.filters, launch->layer, pointers, lines, arguments.stream);
    if (!launched) {
      check(cudaGetLastError(), "line product");
      fail("the copy engine does not take the input of a line product");
    }
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel lines_kernel() { return {.name = "cuda:lines", .refuse = refuse, .predict = predict, .build = build, .variants = variants, .takes_prologue = true, .takes_summand = true, .takes_tiles = true}; }

}  // namespace wins::runtime::cuda
