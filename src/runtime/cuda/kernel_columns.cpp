// 1x1 convolutions whose weights are zero in columns of 64 filters, by a product of the columns left.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "activation_step.hpp"
#include "column_product.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "product_lines.hpp"
#include "product_problem.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/cuda/column_cut.hpp"

namespace wins::runtime::cuda {
namespace {

/// Whatever the shapes of the values; of the zeros alone, without the metadata of pruning.
std::shared_ptr<const ColumnFacts> facts_of(const Problem& problem) {
  const Tensor& weights = *problem.constant(1);
  return problem.env.weights.get<ColumnFacts>(problem.node.name + "/columns/facts",
                                              [&] { return column_facts(KeptColumns(weights.data<float>(), weights.dim(0), weights.dim(1))); });
}

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_pointwise(*problem.node.as<graph::Conv>(), kMaxLineStride)) return reason;
  if (problem.env.element_bytes() != 4) return "16 bits: such layers are bound by memory, where zeros save nothing";
  if (auto reason = refuse_product(problem)) return reason;
  if (problem.constant(1)->dim(1) > kMaxColumnChannels) return fmt::format("more than {} input channels", kMaxColumnChannels);
  const ColumnFacts& facts = *facts_of(problem);
  if (facts.kept == facts.columns) return fmt::format("no column of {} filters is zero", kStripFilters);
  return std::nullopt;
}

ColumnCut cut_of(const Problem& problem) {
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  ColumnSize size{out[0] * out[2] * out[3], product_bytes(problem)};
  size.bytes -= static_cast<double>((element_count(in) - size.pixels * in[1]) * problem.env.element_bytes());  // pixels that strides skip
  return choose_column_cut(*facts_of(problem), size, problem.env.operand, {device().processors, device().shared_bytes, device().bandwidth});
}

double predict(const Problem& problem) { return cut_of(problem).us; }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  ColumnTile tile;
  ProductLayer layer;
  std::int32_t channels;
  Divisor by_filter_tiles;
  std::shared_ptr<const DeviceBuffer> steps, chunks, first_chunk, bias;
};

std::shared_ptr<const Launch> make_launch(const Problem& problem, ColumnTile tile) {
  const Environment& env = problem.env;
  const std::string key = fmt::format("{}/columns/{}", problem.node.name, static_cast<int>(tile));
  const auto pack = env.weights.get<ColumnPack>(key + "/pack", [&] { return pack_columns(*problem.constant(1), env.operand, tile); });
  const auto upload_list = [&](const char* part, const auto& list) {
    return env.weights.get<DeviceBuffer>(key + part, [&] { return list.empty() ? DeviceBuffer(16) : DeviceBuffer(list.data(), list.size() * sizeof(list[0])); });
  };
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->tile = tile;
  launch->layer = product_layer(problem);
  launch->channels = static_cast<std::int32_t>((problem.input_shape(0)[1] + env.unit() - 1) / env.unit() * env.unit());
  launch->by_filter_tiles = Divisor(static_cast<std::int64_t>(pack->first_chunk.size()) - 1);
  launch->steps = upload_list("/steps", pack->steps);
  launch->chunks = upload_list("/chunks", pack->chunks);
  launch->first_chunk = upload_list("/first", pack->first_chunk);
  launch->bias = upload_float_bias(problem);
  return launch;
}

Implementation build(const Problem& problem) {
  const ColumnCut cut = cut_of(problem);
  const auto launch = make_launch(problem, cut.tile);
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (!in_epilogue(activation.kind)) after = activation_step(problem.env, problem.outputs[0], activation);
  Implementation result;
  result.name = fmt::format("cuda:columns_{}x{}", cut.size().pixels, cut.size().filters);
  result.reads = reads_of_convolution(problem);
  result.weights = {launch->steps, launch->chunks, launch->first_chunk, launch->bias};
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    const ProductPointers pointers = product_pointers(arguments, residual, launch->bias);
    const ColumnPointers columns{static_cast<const uint4*>(launch->steps->data()), static_cast<const ColumnChunk*>(launch->chunks->data()),
                                 static_cast<const std::int32_t*>(launch->first_chunk->data()), launch->channels, launch->by_filter_tiles};
    if (!launch_column_product(launch->operand, launch->tile, launch->layer, pointers, columns, arguments.stream)) {
      check(cudaGetLastError(), "column product");
      fail("the copy engine does not take the input of a column product");
    }
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel columns_kernel() { return {"cuda:columns", refuse, predict, build}; }

}  // namespace wins::runtime::cuda
