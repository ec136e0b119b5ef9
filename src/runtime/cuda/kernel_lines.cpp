// 1x1 convolutions by the line product, with a batch norm before them.
#include <fmt/format.h>

#include <algorithm>

#include "activation_step.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "line_product.hpp"
#include "problem_facts.hpp"
#include "product_lines.hpp"
#include "product_problem.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cuda {
namespace {

std::optional<std::string> refuse(const Problem& problem) {
  if (problem.env.operand == Operand::f32) return "fp32";
  if (device().major != 9) return "the device is not of compute capability 9.0";
  if (auto reason = refuse_pointwise(*problem.node.as<graph::Conv>(), kMaxLineStride)) return reason;
  if (auto reason = refuse_product(problem)) return reason;
  if (problem.prologue.norm != nullptr && !has_constant_statistics(problem.env.graph, *problem.prologue.norm)) return "the statistics of the batch norm before it are not constant";
  return std::nullopt;
}

/// Microseconds on an H100, fitted to the 1x1 layers of three networks at batch 1 and 64 (bench/layers/cuda.cpp; with a batch norm:
/// DenseNet-121, wins bench): on average 5 to 8 % off.
struct Times {
  double launch;
  double full, full_chunk;      ///< of two blocks of a multiprocessor: once, and for each chunk
  double single, single_chunk;  ///< of one block that has a multiprocessor to itself
};
Times times_of(const Problem& problem, int filters) {
  if (problem.prologue.norm == nullptr) return filters == 128 ? Times{3.0, 6.8, 1.04, 2.4, 0.46} : Times{2.7, 2.2, 1.42, 0.4, 0.38};
  if (filters == 64) return {3.0, 2.9, 2.0, 3.0, 0.6};
  return problem.env.operand == Operand::tf32 ? Times{3.6, 7.1, 1.02, 4.2, 0.80} : Times{3.0, 7.3, 1.63, 7.3, 0.71};
}

/// Filters of a block, and microseconds.
struct LineCut {
  int filters = 64;
  double us = 0;
};
LineCut cut_with(const Problem& problem, int filters) {
  const Shape& out = problem.output_shape();
  const auto divide_up = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const Times t = times_of(problem, filters);
  const std::int64_t tiles = divide_up(out[0] * out[2] * out[3], kLinePixels) * divide_up(out[1], filters), blocks = divide_up(tiles, device().processors);
  const auto chunks = static_cast<double>(divide_up(input_units(problem), kChunkUnits));
  const double us = t.launch + static_cast<double>(blocks / 2) * (t.full + chunks * t.full_chunk) + static_cast<double>(blocks % 2) * (t.single + chunks * t.single_chunk);
  return {filters, std::max(us, 2 + product_bytes(problem) / (0.75 * device().bandwidth))};
}
LineCut cut_of(const Problem& problem) {
  const LineCut narrow = cut_with(problem, 64), wide = cut_with(problem, 128);
  // Pixels are read once for each tile of filters.
  return narrow.us < wide.us || problem.output_shape()[1] <= 64 ? narrow : wide;
}

double predict(const Problem& problem) { return cut_of(problem).us; }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  int filters;
  ProductLayer layer;
  std::int32_t chunks;
  Divisor by_filter_tiles;
  std::shared_ptr<const DeviceBuffer> lines, bias, affine;
};

std::shared_ptr<const Launch> make_launch(const Problem& problem) {
  const Environment& env = problem.env;
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->filters = cut_of(problem).filters;
  launch->layer = product_layer(problem);
  launch->layer.row_units = static_cast<std::int32_t>(input_units(problem));
  if (problem.prologue.relu != nullptr) launch->layer.input_low = 0;
  launch->chunks = (launch->layer.row_units + kChunkUnits - 1) / kChunkUnits;
  launch->by_filter_tiles = Divisor((problem.output_shape()[1] + launch->filters - 1) / launch->filters);
  launch->lines = env.weights.get<DeviceBuffer>(fmt::format("{}/lines/{}", problem.node.name, launch->filters), [&] {
    const std::vector<std::uint32_t> words = pack_lines(*problem.constant(1), env.operand, launch->filters);
    return DeviceBuffer(words.data(), words.size() * sizeof(words[0]));
  });
  launch->bias = upload_float_bias(problem);
  if (problem.prologue.norm != nullptr) {
    const ScaleShift given = scale_shift_of(env.graph, *problem.prologue.norm);
    launch->affine = upload_floats(env, problem.node.name + "/lines/norm", pack_affine(given.scale, given.shift, env.operand));
  }
  return launch;
}

Implementation build(const Problem& problem) {
  const auto launch = make_launch(problem);
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (!in_epilogue(activation.kind)) after = activation_step(problem.env, problem.outputs[0], activation);
  Implementation result;
  result.name = fmt::format("cuda:lines_{}x{}", kLinePixels, launch->filters);
  result.name += prologue_suffix(problem);
  result.reads = reads_of_convolution(problem);
  result.weight_bytes = launch->lines->size();
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    const ProductPointers pointers = product_pointers(arguments, residual, launch->bias);
    const LinePointers lines{static_cast<const std::uint32_t*>(launch->lines->data()), launch->affine ? static_cast<const float*>(launch->affine->data()) : nullptr,
                             launch->chunks, launch->by_filter_tiles};
    if (!launch_line_product(launch->operand, launch->filters, launch->layer, pointers, lines, arguments.stream)) {
      check(cudaGetLastError(), "line product");
      fail("the copy engine does not take the input of a line product");
    }
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel lines_kernel() { return {.name = "cuda:lines", .refuse = refuse, .predict = predict, .build = build, .takes_prologue = true}; }

}  // namespace wins::runtime::cuda
