// Row-pruned F(2,3) and F(4,3) layers in stages, V and M in device memory; dense 3x3 convolutions where that is asked for.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "activation_step.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "winograd_problem.hpp"
#include "winograd_staged.hpp"
#include "wins/base/error.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

/// V and M of the images that go through the stages at once. Smaller parts, which the second-level cache would hold, were
/// slower: their launches cost more.
constexpr std::int64_t kChunkBytes = std::int64_t{256} << 20;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 30;  ///< of one image

/// How many images go through the stages at once, and what lies where in the workspace.
struct Chunks {
  std::int32_t images = 1, count = 1;
  std::int64_t tiles = 0;       ///< of a chunk
  std::int64_t tile_pitch = 0;  ///< those filled up to blocks
  std::int64_t V_bytes = 0, M_bytes = 0;

  Chunks(const StagedLayer& layer, const StagedPack& pack) {
    const std::int64_t storage = storage_bytes(pack.operand), product = narrow_products(layer.m) ? storage : 4;
    const std::int64_t image_tiles = std::int64_t{layer.tile_rows} * layer.tile_columns;
    const std::int64_t V_tile = static_cast<std::int64_t>(pack.alive.size()) * pack.channels * storage, M_tile = pack.rows * product;
    const std::int64_t image_bytes = std::max<std::int64_t>(1, image_tiles * (V_tile + M_tile));
    images = static_cast<std::int32_t>(std::clamp<std::int64_t>(kChunkBytes / image_bytes, 1, layer.batch));
    count = (layer.batch + images - 1) / images;
    images = (layer.batch + count - 1) / count;
    tiles = images * image_tiles;
    tile_pitch = staged_tile_pitch(tiles);
    V_bytes = tile_pitch * V_tile;
    M_bytes = tile_pitch * M_tile;
  }
  std::size_t workspace_bytes() const { return static_cast<std::size_t>(V_bytes + M_bytes); }
};

StagedLayer layer_of(const Problem& problem, const WinogradProblem& given, const StagedPack& pack) {
  StagedLayer layer;
  set_shapes(problem, given, layer);
  layer.m = given.m;
  layer.stride = given.stride;
  layer.tile_rows = (layer.out_height + layer.m - 1) / layer.m;
  layer.tile_columns = (layer.out_width + layer.m - 1) / layer.m;
  layer.by_tile_rows = Divisor(layer.tile_rows);
  layer.by_tile_columns = Divisor(layer.tile_columns);
  layer.packed_channels = static_cast<std::int32_t>(pack.channels);
  layer.alive_mask = pack.alive_mask();
  layer.max_pool = problem.max_pool != nullptr;
  return layer;
}

/// What the products cost by operand, fitted to times on an H100 (seven to twelve layers each, most within 10 %; 64 channels take a third
/// longer in fp32 and fp16): at least, for V and multiply-adds over what memory and fp16 tensor cores can do at most, and for each
/// chunk of channels of a block that has a processor to itself.
struct ProductCost {
  double start, V, macs, chunk;
};
ProductCost product_cost(Operand operand) {
  switch (operand) {
    case Operand::f32: return {6.0, 1.36, 5.5, 0.7};
    case Operand::tf32: return {4.5, 1.1, 4.2, 0.5};
    default: return {3.5, 1.12, 2.1, 0.4};
  }
}

/// What the transforms cost beside their bytes: microseconds for a million channels of tiles on 132 processors.
struct TransformCost {
  double input, output;
};
TransformCost transform_cost(Operand operand, int m) {
  if (storage_bytes(operand) == 4) return m == 2 ? TransformCost{2.7, 3.3} : TransformCost{11, 16};
  return m == 2 ? TransformCost{5.5, 6.3} : TransformCost{34, 18};
}

/// Microseconds that a transform takes however small it is, in a row of kernels.
inline constexpr double kShortest = 3.3;

/// Microseconds.
double predict_given(const Problem& problem, const WinogradProblem& given) {
  const Operand operand = problem.env.operand;
  const StagedPack size = staged_size(given.mask, operand);
  const StagedLayer layer = layer_of(problem, given, size);
  const Chunks chunks(layer, size);
  const auto moved = [](double bytes) { return bytes / (0.93 * device().bandwidth); };
  // Of the values alone: a part of a larger one must run the same kernel as the layer by itself.
  const auto bytes_of = [&](const Shape& shape) { return static_cast<double>(element_count(shape) * problem.env.element_bytes()); };
  const double V = static_cast<double>(chunks.V_bytes) * chunks.count, M = static_cast<double>(chunks.M_bytes) * chunks.count;
  const double tiles = layer.tiles(), per_tile = tiles * 1e-6 * 132.0 / device().processors;
  double rows = 0;
  for (const StagedPosition& position : size.alive) rows += (position.rows + 7) / 8 * 8;
  const ProductCost cost = product_cost(operand);
  const TransformCost transform = transform_cost(operand, given.m);
  const double products = cost.start + moved(cost.V * V + M) + cost.macs * tiles * rows * static_cast<double>(size.channels) / device().tensor_macs;
  const double block = 2 + cost.chunk * std::ceil(static_cast<double>(size.channels * storage_bytes(operand)) / (16.0 * kChunkUnits));
  const double input = 1.05 * moved(bytes_of(problem.input_shape(0)) + V) + transform.input * per_tile * layer.channels;
  const double residual = problem.has_input(3) ? bytes_of(problem.outputs[0].shape) : 0;
  const double output = 1.1 * moved(M + residual + bytes_of(problem.outputs[0].shape)) + transform.output * per_tile * layer.filters;
  return std::max(2.0 * chunks.count + input + output, 2 * kShortest * chunks.count) + std::max(products, block);
}

/// Relative L2 error of F(4,3) of a dense layer in float32: it grows with the square root of the channels.
double typical_error(std::int64_t channels) { return 1.1e-7 * std::sqrt(static_cast<double>(channels)); }

/// Tiles that a Conv may have. m = 2 is always one: whoever asked for a narrow format accepts its rounding. m = 4 magnifies
/// that of TF32 and 16 bits 2.6 times.
std::vector<int> dense_tiles(const Problem& problem) {
  const SessionOptions& options = problem.env.options;
  std::vector<int> tiles;
  for (const int m : {2, 4}) {
    if (options.force_m != 0 && options.force_m != m) continue;
    if (m == 4 && problem.env.operand != Operand::f32) continue;
    if (m == 4 && options.force_m == 0 && typical_error(problem.input_shape(0)[1]) > options.error_bound) continue;
    tiles.push_back(m);
  }
  return tiles;
}

/// The tile that is predicted fastest.
WinogradProblem best_problem(const Problem& problem) {
  WinogradProblem best = winograd_problem(problem);
  if (problem.node.as<graph::WinogradConv>() != nullptr) return best;
  double best_us = std::numeric_limits<double>::infinity();
  for (const int m : dense_tiles(problem)) {
    WinogradProblem given = winograd_problem(problem, m);
    const double us = predict_given(problem, given);
    if (us >= best_us) continue;
    best_us = us;
    best = std::move(given);
  }
  return best;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (const auto* pruned = problem.node.as<graph::WinogradConv>()) {
    if (pruned->r != 3 || (pruned->m != 2 && pruned->m != 4)) return fmt::format("F({},{})", pruned->m, pruned->r);
  }
  if (auto reason = refuse_rows(problem)) return reason;
  if (auto reason = refuse_pool(problem)) return reason;
  if (problem.node.as<graph::Conv>() != nullptr && dense_tiles(problem).empty()) return fmt::format("m={} is forced", problem.env.options.force_m);
  const WinogradProblem given = best_problem(problem);
  const StagedPack size = staged_size(given.mask, problem.env.operand);
  if (size.rows > kMaxStagedRows) return "too many rows";
  const StagedLayer layer = layer_of(problem, given, size);
  const Chunks chunks(layer, size);
  // Offsets in M have 32 bits.
  if (chunks.V_bytes + chunks.M_bytes > kMaxBytes) return "V and M of an image take more than 1 GB";
  return std::nullopt;
}

double predict(const Problem& problem) { return predict_given(problem, best_problem(problem)); }

/// Everything that the launches need.
class Launch {
 public:
  Launch(const Problem& problem, const WinogradProblem& given, std::shared_ptr<const StagedPack> pack)
      : layer_(layer_of(problem, given, *pack)), pack_(std::move(pack)), chunks_(layer_, *pack_) {
    layer_.tile_pitch = chunks_.tile_pitch;
    const std::string key = key_of(problem, given.m);
    SharedWeights& store = problem.env.weights;
    weights_ = store.get<DeviceBuffer>(key + "/weights", [&] { return DeviceBuffer(pack_->weights.data(), pack_->weights.size()); });
    const auto& groups = pack_->groups;
    groups_ = store.get<DeviceBuffer>(key + "/groups", [&] { return DeviceBuffer(groups.data(), groups.size() * sizeof(groups[0])); });
    bias_ = upload_float_bias(problem);
  }
  static std::string key_of(const Problem& problem, int m) { return fmt::format("{}/staged/{}", problem.node.name, m); }

  const Chunks& chunks() const { return chunks_; }
  std::vector<std::shared_ptr<const DeviceBuffer>> weights() const { return {weights_, groups_, bias_}; }

  void run(const Arguments& arguments, const void* residual) const {
    const auto at = [](const void* base, std::int64_t bytes) { return static_cast<const std::byte*>(base) + bytes; };
    auto* V = static_cast<std::byte*>(arguments.workspace);
    std::byte* M = V + chunks_.V_bytes;
    for (std::int32_t first = 0; first < layer_.batch; first += chunks_.images) {
      StagedLayer part = layer_;
      part.batch = std::min(chunks_.images, layer_.batch - first);
      const void* input = at(arguments.inputs[0], image_bytes(first, layer_.height, layer_.width, layer_.input_pitch));
      if (!pack_->alive.empty()) multiply(part, input, V, M, arguments.stream);
      StagedOutput output;
      output.M = M;
      output.groups = static_cast<const std::uint32_t*>(groups_->data());
      output.bias = bias_ ? static_cast<const float*>(bias_->data()) : nullptr;
      const std::int64_t written = image_bytes(first, layer_.written_height(), layer_.written_width(), layer_.output_pitch);
      output.output = static_cast<std::byte*>(arguments.outputs[0]) + written;
      if (residual != nullptr) output.residual = at(residual, image_bytes(first, layer_.out_height, layer_.out_width, layer_.residual_pitch));
      check(launch_staged_output(pack_->operand, part, output, arguments.stream), "output");
    }
  }

 private:
  void multiply(const StagedLayer& part, const void* input, void* V, void* M, cudaStream_t stream) const {
    check(launch_staged_input(pack_->operand, part, input, V, stream), "input");
    check(launch_staged_products(pack_->operand, part.m, StagedProducts(*pack_, part), weights_->data(), V, M, stream), "products");
  }

  static void check(bool launched, const char* stage) {
    if (!launched) cuda::check(cudaGetLastError(), stage);
  }

  std::int64_t image_bytes(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t pitch) const {
    return images * height * width * pitch * storage_bytes(pack_->operand);
  }

  StagedLayer layer_;
  std::shared_ptr<const StagedPack> pack_;
  Chunks chunks_;
  std::shared_ptr<const DeviceBuffer> weights_, groups_, bias_;
};

Implementation build(const Problem& problem) {
  const WinogradProblem given = best_problem(problem);
  const auto pack = problem.env.weights.get<StagedPack>(Launch::key_of(problem, given.m) + "/pack", [&] {
    return pack_staged(winograd_weights(problem, given.m), given.mask, problem.env.operand);
  });
  const auto launch = std::make_shared<const Launch>(problem, given, pack);
  Implementation result;
  result.name = fmt::format("cuda:winograd_staged_m{}x{}{}", given.m, launch->chunks().count, problem.max_pool != nullptr ? "+max_pool" : "");
  result.reads = reads_of_convolution(problem);
  result.workspace_bytes = launch->chunks().workspace_bytes();
  result.weights = launch->weights();
  Step after;
  if (!in_epilogue(given.activation.kind)) after = activation_step(problem.env, problem.outputs[0], given.activation);
  const bool residual = problem.has_input(3);
  result.step = [launch, after, residual](const Arguments& arguments) {
    launch->run(arguments, residual ? arguments.inputs[3] : nullptr);
    if (after) after(arguments);
  };
  return result;
}

}  // namespace

Kernel winograd_staged_kernel() {
  return {.name = "cuda:winograd_staged", .refuse = refuse, .predict = predict, .build = build, .takes_max_pool = true};
}

}  // namespace wins::runtime::cuda
