// Row-pruned F(2,3) and F(4,3) layers in stages, V and M in device memory, with cuBLAS in between; dense 3x3 convolutions
// where that is asked for.
#include <algorithm>
#include <array>
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

/// V and M of the images between two stages: both and what else is read stay in the second-level cache.
constexpr std::int64_t kChunkBytes = std::int64_t{32} << 20;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 30;      ///< of one image
constexpr std::size_t kLibraryBytes = std::size_t{32} << 20;   ///< NVIDIA's advice for Hopper
constexpr std::size_t kPointerBytes = 1024;                    ///< three arrays of kMaxStagedPositions

/// How many images go through the stages at once, and what lies where in the workspace.
struct Chunks {
  std::int32_t images = 1, count = 1;
  std::int64_t V_bytes = 0, M_bytes = 0;

  Chunks(const StagedLayer& layer, const StagedPack& pack) {
    const std::int64_t storage = storage_bytes(pack.operand), product = narrow_products(layer.m) ? storage : 4;
    const std::int64_t tiles = std::int64_t{layer.tile_rows} * layer.tile_columns;
    const std::int64_t V_image = tiles * static_cast<std::int64_t>(pack.alive.size()) * pack.channels * storage;
    const std::int64_t M_image = tiles * pack.rows * product;
    images = static_cast<std::int32_t>(std::clamp<std::int64_t>(kChunkBytes / std::max<std::int64_t>(1, V_image + M_image), 1, layer.batch));
    count = (layer.batch + images - 1) / images;
    images = (layer.batch + count - 1) / count;
    V_bytes = aligned(images * V_image);
    M_bytes = aligned(images * M_image);
  }
  std::size_t workspace_bytes() const { return kPointerBytes + kLibraryBytes + static_cast<std::size_t>(V_bytes + M_bytes); }

 private:
  static std::int64_t aligned(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }
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
  layer.packed_filters = static_cast<std::int32_t>(pack.filters);
  layer.rows = pack.rows;
  layer.alive_mask = pack.alive_mask();
  return layer;
}

/// Multiply-adds a microsecond that grouped products reach.
double product_rate(Operand operand) {
  const double share = operand == Operand::f32 ? 0.03 : operand == Operand::tf32 ? 0.15 : 0.3;
  return share * device().tensor_macs;
}

double predict_given(const Problem& problem, const WinogradProblem& given) {
  const StagedPack size = staged_size(given.mask, problem.env.operand);
  const StagedLayer layer = layer_of(problem, given, size);
  const Chunks chunks(layer, size);
  const double staged = static_cast<double>(chunks.V_bytes + chunks.M_bytes) * chunks.count;
  const double macs = static_cast<double>(layer.tiles()) * size.rows * static_cast<double>(size.channels);
  return predict_traffic(problem) + 2 * predict_bytes(staged) + macs / product_rate(problem.env.operand) + 8.0 * chunks.count;
}

/// Relative L2 error that a tile costs a dense layer: in float32 it grows with the square root of the channels, else the
/// rounding of V and U counts (simulated on normal data).
double typical_error(int m, std::int64_t channels, Operand operand) {
  if (operand == Operand::f32) return (m == 2 ? 4e-8 : 1.1e-7) * std::sqrt(static_cast<double>(channels));
  return (m == 2 ? 5.8e-4 : 1.5e-3) * (operand == Operand::bf16 ? 8 : 1);
}

/// Tiles that a Conv may have. m = 2 is always one: whoever asked for a narrow format accepts its rounding.
std::vector<int> dense_tiles(const Problem& problem) {
  const SessionOptions& options = problem.env.options;
  std::vector<int> tiles;
  for (const int m : {2, 4}) {
    const bool close = m == 2 || typical_error(m, problem.input_shape(0)[1], problem.env.operand) <= options.error_bound;
    if (options.force_m == 0 ? close : options.force_m == m) tiles.push_back(m);
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
  if (problem.node.as<graph::Conv>() != nullptr && dense_tiles(problem).empty()) return fmt::format("m={} is forced", problem.env.options.force_m);
  const WinogradProblem given = best_problem(problem);
  const StagedPack size = staged_size(given.mask, problem.env.operand);
  if (size.rows >= kNoColumn) return "too many rows";
  const StagedLayer layer = layer_of(problem, given, size);
  const Chunks chunks(layer, size);
  if (chunks.V_bytes + chunks.M_bytes > kMaxBytes) return "V and M of an image take more than 1 GB";
  return std::nullopt;
}

double predict(const Problem& problem) { return predict_given(problem, best_problem(problem)); }

/// Everything that the launches need.
class Launch {
 public:
  Launch(const Problem& problem, const WinogradProblem& given, std::shared_ptr<const StagedPack> pack)
      : layer_(layer_of(problem, given, *pack)), pack_(std::move(pack)), chunks_(layer_, *pack_), handle_(problem.env.libraries.products()) {
    const std::string key = key_of(problem, given.m);
    SharedWeights& store = problem.env.weights;
    weights_ = store.get<DeviceBuffer>(key + "/weights", [&] { return DeviceBuffer(pack_->weights.data(), pack_->weights.size()); });
    columns_ = store.get<DeviceBuffer>(key + "/columns", [&] {
      return DeviceBuffer(pack_->columns.data(), pack_->columns.size() * sizeof(pack_->columns[0]));
    });
    bias_ = upload_float_bias(problem);
    for (const StagedPosition& position : pack_->alive) rows_.push_back(position.rows);
  }
  static std::string key_of(const Problem& problem, int m) { return fmt::format("{}/staged/{}", problem.node.name, m); }

  const Chunks& chunks() const { return chunks_; }
  std::size_t weight_bytes() const { return weights_->size() + columns_->size(); }
  bool batched() const { return pack_->even(); }

  void run(const Arguments& arguments, const void* residual) const {
    auto* memory = static_cast<std::byte*>(arguments.workspace);
    check(cublasSetStream(handle_, arguments.stream), "cuBLAS's stream");
    check(cublasSetWorkspace(handle_, memory + kPointerBytes, kLibraryBytes), "cuBLAS's workspace");
    std::byte* V = memory + kPointerBytes + kLibraryBytes;
    std::byte* M = V + chunks_.V_bytes;
    for (std::int32_t first = 0; first < layer_.batch; first += chunks_.images) {
      StagedLayer part = layer_;
      part.batch = std::min(chunks_.images, layer_.batch - first);
      part.position_elements = std::int64_t{chunks_.images} * layer_.tile_rows * layer_.tile_columns * layer_.packed_channels;
      if (!pack_->alive.empty()) {
        const StagedProducts products = products_of(memory, M);
        const std::byte* input = static_cast<const std::byte*>(arguments.inputs[0]) + image_bytes(first, layer_.height, layer_.width, layer_.input_pitch);
        if (!launch_staged_input(pack_->operand, part, input, V, products, arguments.stream)) check(cudaGetLastError(), "staged input");
        if (batched()) {
          multiply_batched(part, V, M);
        } else {
          multiply_grouped(part, products);
        }
      }
      StagedOutput output;
      output.M = M;
      output.columns = static_cast<const std::uint16_t*>(columns_->data());
      output.bias = bias_ ? static_cast<const float*>(bias_->data()) : nullptr;
      output.output = static_cast<std::byte*>(arguments.outputs[0]) + image_bytes(first, layer_.out_height, layer_.out_width, layer_.output_pitch);
      if (residual != nullptr) {
        output.residual = static_cast<const std::byte*>(residual) + image_bytes(first, layer_.out_height, layer_.out_width, layer_.residual_pitch);
      }
      if (!launch_staged_output(pack_->operand, part, output, arguments.stream)) check(cudaGetLastError(), "staged output");
    }
  }

 private:
  std::int64_t image_bytes(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t pitch) const {
    return images * height * width * pitch * storage_bytes(pack_->operand);
  }

  StagedProducts products_of(std::byte* memory, std::byte* M) const {
    StagedProducts products;
    if (batched()) return products;
    auto* pointers = reinterpret_cast<void**>(memory);
    products.weights = const_cast<const void**>(pointers);
    products.V = const_cast<const void**>(pointers + kMaxStagedPositions);
    products.M = pointers + 2 * kMaxStagedPositions;
    products.first_weights = weights_->data();
    products.first_M = M;
    products.count = static_cast<std::int32_t>(pack_->alive.size());
    products.weight_bytes = layer_.packed_channels * storage_bytes(pack_->operand);
    products.product_bytes = narrow_products(layer_.m) ? storage_bytes(pack_->operand) : 4;
    for (std::size_t i = 0; i < pack_->alive.size(); ++i) products.first_row[i] = pack_->alive[i].first_row;
    return products;
  }

  cudaDataType_t type() const {
    return pack_->operand == Operand::f16 ? CUDA_R_16F : pack_->operand == Operand::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  }
  cudaDataType_t product_type() const { return narrow_products(layer_.m) ? type() : CUDA_R_32F; }
  cublasComputeType_t compute() const { return pack_->operand == Operand::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F; }

  // cuBLAS counts by columns: its matrices are the transposes of ours, M^T [rows, tiles] = U [rows, C] V^T [C, tiles].
  void multiply_grouped(const StagedLayer& part, const StagedProducts& products) const {
    const std::size_t count = rows_.size();
    std::array<cublasOperation_t, kMaxStagedPositions> transposed, straight;
    std::array<int, kMaxStagedPositions> tiles, channels, pitch, one;
    std::array<float, kMaxStagedPositions> alpha, beta;
    transposed.fill(CUBLAS_OP_T);
    straight.fill(CUBLAS_OP_N);
    tiles.fill(part.tiles());
    channels.fill(layer_.packed_channels);
    pitch.fill(layer_.rows);
    one.fill(1);
    alpha.fill(1);
    beta.fill(0);
    check(cublasGemmGroupedBatchedEx(handle_, transposed.data(), straight.data(), rows_.data(), tiles.data(), channels.data(), alpha.data(),
                                     products.weights, type(), channels.data(), products.V, type(), channels.data(), beta.data(), products.M,
                                     product_type(), pitch.data(), static_cast<int>(count), one.data(), compute()),
          "grouped products");
  }

  void multiply_batched(const StagedLayer& part, const void* V, void* M) const {
    const float alpha = 1, beta = 0;
    const int rows = rows_.front(), channels = layer_.packed_channels;
    check(cublasGemmStridedBatchedEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, rows, part.tiles(), channels, &alpha, weights_->data(), type(), channels,
                                     std::int64_t{rows} * channels, V, type(), channels, part.position_elements, &beta, M, product_type(),
                                     layer_.rows, rows, static_cast<int>(rows_.size()), compute(), CUBLAS_GEMM_DEFAULT),
          "batched products");
  }

  StagedLayer layer_;
  std::shared_ptr<const StagedPack> pack_;
  Chunks chunks_;
  cublasHandle_t handle_;
  std::shared_ptr<const DeviceBuffer> weights_, columns_, bias_;
  std::vector<int> rows_;  // of the products
};

Implementation build(const Problem& problem) {
  const WinogradProblem given = best_problem(problem);
  const auto pack = problem.env.weights.get<StagedPack>(Launch::key_of(problem, given.m) + "/pack", [&] {
    return pack_staged(winograd_weights(problem, given.m), given.mask, problem.env.operand);
  });
  const auto launch = std::make_shared<const Launch>(problem, given, pack);
  Implementation result;
  result.name = fmt::format("cuda:winograd_staged_m{}{}x{}", given.m, launch->batched() ? "b" : "g", launch->chunks().count);
  result.reads = reads_of_convolution(problem);
  result.workspace_bytes = launch->chunks().workspace_bytes();
  result.weight_bytes = launch->weight_bytes();
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

Kernel winograd_staged_kernel() { return {"cuda:winograd_staged", refuse, predict, build}; }

}  // namespace wins::runtime::cuda
