// Convolutions with one group by our own product of pixels and filters.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "activation_step.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "product_problem.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/batch_norm.hpp"
#include "wins/runtime/cuda/filter_pack.hpp"

namespace wins::runtime::cuda {
namespace {

std::optional<std::string> refuse(const Problem& problem) {
  if (auto reason = refuse_product(problem)) return reason;
  const auto& conv = *problem.node.as<graph::Conv>();
  if (problem.prologue.norm == nullptr) return std::nullopt;
  if (conv.window.kernel != std::array<std::int64_t, 2>{1, 1} || conv.window.pads != std::array<std::int64_t, 4>{}) {
    return "batch norm before a kernel that is not 1x1, or has pads";
  }
  if (!has_constant_statistics(problem.env.graph, *problem.prologue.norm)) return "the statistics of the batch norm before it are not constant";
  return std::nullopt;
}

ProductCut cut_of(const Problem& problem) {
  const auto& conv = *problem.node.as<graph::Conv>();
  const Shape& out = problem.output_shape();
  const std::int64_t units = input_units(problem);
  ProductSize size;
  size.pixels = out[0] * out[2] * out[3];
  size.filters = out[1];
  size.chunks = conv.window.kernel[0] * ((conv.window.kernel[1] * units + kChunkUnits - 1) / kChunkUnits);
  size.bytes = product_bytes(problem);
  return choose_product_cut(size, problem.env.operand, {device().processors, device().shared_bytes, device().bandwidth});
}

/// Pixels that are scaled in shared memory take longer: DenseNet-121's layers 1.3 to 1.7 times as long (H100).
constexpr double kWithNorm = 1.4;
double predict(const Problem& problem) { return cut_of(problem).us * (problem.prologue.norm != nullptr ? kWithNorm : 1); }

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  ProductCut cut;
  ProductLayer layer;
  std::shared_ptr<const DeviceBuffer> filters, bias, affine;
  DeviceBuffer finished;  ///< counters of this launch's tiles, zeros between runs
};

ProductLayer layer_of(const Problem& problem, const FilterPack& pack) {
  ProductLayer layer = product_layer(problem);
  if (problem.prologue.relu != nullptr) layer.input_low = 0;
  layer.items = pack.items;
  layer.row_units = pack.row_units;
  layer.row_chunks = pack.row_chunks;
  layer.by_units = Divisor(input_units(problem));
  return layer;
}

/// ProductPointers::input_affine; null without a prologue.
std::shared_ptr<const DeviceBuffer> upload_affine(const Problem& problem, const FilterPack& pack) {
  if (problem.prologue.norm == nullptr) return nullptr;
  const ScaleShift given = scale_shift_of(problem.env.graph, *problem.prologue.norm);
  const auto channels = static_cast<std::size_t>(pack.row_chunks * kChunkUnits * problem.env.unit());
  std::vector<float> both(2 * channels, 0.0F);
  std::ranges::copy(given.scale, both.begin());
  std::ranges::copy(given.shift, both.begin() + static_cast<std::ptrdiff_t>(channels));
  return upload_floats(problem.env, problem.node.name + "/implicit/norm", both);
}

std::shared_ptr<const Launch> make_launch(const Problem& problem) {
  const Environment& env = problem.env;
  const PackedFilters filters = packed_filters(problem);
  auto launch = std::make_shared<Launch>();
  launch->operand = env.operand;
  launch->cut = cut_of(problem);
  launch->layer = layer_of(problem, *filters.pack);
  launch->filters = filters.buffer;
  launch->bias = upload_float_bias(problem);
  launch->affine = upload_affine(problem, *filters.pack);
  if (launch->cut.splits > 1) {
    const std::vector<std::uint32_t> zeros(static_cast<std::size_t>(launch->cut.tiles()), 0);
    launch->finished = DeviceBuffer(zeros.data(), zeros.size() * sizeof(zeros[0]));
  }
  return launch;
}

Implementation build(const Problem& problem) {
  const auto launch = make_launch(problem);
  const ProductCut& cut = launch->cut;
  const auto& activation = problem.node.as<graph::Conv>()->activation;
  Step after;
  if (!in_epilogue(activation.kind)) after = activation_step(problem.env, problem.outputs[0], activation);
  Implementation result;
  result.name = fmt::format("cuda:implicit_{}x{}", cut.size().pixels, cut.size().filters);
  if (cut.splits > 1) result.name += fmt::format("/{}", cut.splits);
  result.name += prologue_suffix(problem);
  result.reads = reads_of_convolution(problem);
  result.weights = {launch->filters, launch->bias, launch->affine};
  result.workspace_bytes = static_cast<std::size_t>(cut.workspace_floats()) * sizeof(float);
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    ProductPointers pointers = product_pointers(arguments, residual, launch->bias);
    pointers.filters = static_cast<const std::uint32_t*>(launch->filters->data());
    pointers.input_affine = launch->affine ? static_cast<const float*>(launch->affine->data()) : nullptr;
    pointers.partial = static_cast<float*>(arguments.workspace);
    pointers.finished = static_cast<std::uint32_t*>(launch->finished.data());
    if (!launch_implicit_product(launch->operand, launch->cut, launch->layer, pointers, arguments.stream)) check(cudaGetLastError(), "implicit product");
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel implicit_kernel() { return {.name = "cuda:implicit", .refuse = refuse, .predict = predict, .build = build, .takes_prologue = true, .takes_tiles = true}; }

}  // namespace wins::runtime::cuda
