#include "pointwise_convolution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bfloat16.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

/// Share of the multiply-add peak that the inner loop reaches.
constexpr double kEfficiency = 0.88;
/// Share of the second-level cache that the pixels of a block, or the weights, may fill.
constexpr double kCacheShare = 0.5;
constexpr std::int64_t kTilePixels = 28;

/// Weights that stay in cache are read again for every 28 pixels, whose values then stay in the
/// first-level cache; weights that do not are read once for as many pixels as the cache holds.
bool weights_stay(const PointwiseWork& work, int group_parts, const Machine& machine) {
  return work.weight_bytes * static_cast<double>(work.weights) / group_parts < kCacheShare * machine.l2_bytes;
}

std::int64_t block_pixels(const PointwiseGeometry& g, bool cached, int pixel_parts, const Machine& machine) {
  const double pixel_bytes = 4.0 * static_cast<double>((g.in_blocks() + g.out_blocks()) * g.block);
  const auto limit =
      cached ? kTilePixels
             : std::max(kTilePixels, static_cast<std::int64_t>(kCacheShare * machine.l2_bytes / pixel_bytes));
  const std::int64_t pixels = g.out_pixels();
  std::int64_t count = divide_up(pixels, std::min(limit, pixels));
  // The same number of blocks for each part, as long as they do not become tiny.
  while (g.batch * count % pixel_parts != 0 && pixels / (count + 1) >= kTilePixels / 2) ++count;
  return divide_up(pixels, count);
}

Cost predict(const PointwiseGeometry& g, const PointwiseWork& work, bool pack, const PointwiseBlocking& blocking,
             const Machine& machine) {
  const std::int64_t blocks = g.batch * divide_up(g.out_pixels(), blocking.pixels);
  const std::int64_t rounds = divide_up(blocks, blocking.pixel_parts);
  const std::int64_t vectors = divide_up(g.out_channels, machine.lanes);
  const double pixels = static_cast<double>(std::min(rounds * blocking.pixels, g.batch * g.out_pixels()));
  const double vector_share = static_cast<double>(divide_up(vectors, blocking.group_parts)) / static_cast<double>(vectors);
  const double compute =
      2.0 * static_cast<double>(work.weights) * vector_share * pixels / (machine.flops_per_us * kEfficiency);
  const double x_bytes = 4.0 * static_cast<double>(g.in_blocks() * g.block) * pixels;
  const double y_bytes = 4.0 * static_cast<double>(g.out_blocks() * g.block) * pixels * vector_share;
  const double w_bytes = work.weight_bytes * static_cast<double>(work.weights) * vector_share;
  const double again = w_bytes > 0.5 * machine.l2_bytes ? static_cast<double>(rounds) : 1.0;
  const double packing = pack ? 2 * x_bytes / (4.0 * machine.lanes) * 4 * machine.lanes / machine.flops_per_us : 0;
  const double stream = (x_bytes + y_bytes + w_bytes * again) / machine.bytes_per_us;
  Cost cost;
  cost.us = std::max(compute, stream) + 0.25 * std::min(compute, stream) + packing + machine.fork_us;
  cost.flops = 2.0 * static_cast<double>(work.weights * g.batch * g.out_pixels());
  cost.bytes = work.weight_bytes * static_cast<double>(work.weights) +
               4.0 * static_cast<double>(g.batch * g.in_blocks() * g.block * g.in_pixels() +
                                         g.batch * g.out_blocks() * g.block * g.out_pixels());
  return cost;
}

}  // namespace

std::string PointwiseBlocking::text() const {
  return fmt::format("{} x {} threads over pixels x channels, {} pixels a block, {}", pixel_parts, group_parts,
                     pixels, cost.text());
}

std::string PointwiseBlocking::name() const { return fmt::format("{}x{},{}", pixel_parts, group_parts, pixels); }

std::vector<PointwiseBlocking> blockings(const PointwiseGeometry& geometry, const PointwiseWork& work, bool pack,
                                         int threads, const Machine& machine) {
  std::vector<PointwiseBlocking> all;
  for (int pixel_parts = 1; pixel_parts <= threads; ++pixel_parts) {
    if (threads % pixel_parts != 0) continue;
    PointwiseBlocking blocking{pixel_parts, threads / pixel_parts, 1, {}};
    for (const bool cached : {false, true}) {
      const std::int64_t pixels = block_pixels(geometry, cached, pixel_parts, machine);
      if (cached && pixels == blocking.pixels) continue;
      blocking.pixels = pixels;
      blocking.cost = predict(geometry, work, pack, blocking, machine);
      all.push_back(blocking);
    }
  }
  return all;
}

PointwiseBlocking choose_blocking(const PointwiseGeometry& geometry, const PointwiseWork& work, bool pack,
                                  int threads, const Machine& machine) {
  PointwiseBlocking best;
  best.cost.us = -1;
  for (int pixel_parts = 1; pixel_parts <= threads; ++pixel_parts) {
    if (threads % pixel_parts != 0) continue;
    PointwiseBlocking blocking{pixel_parts, threads / pixel_parts, 1, {}};
    blocking.pixels =
        block_pixels(geometry, weights_stay(work, blocking.group_parts, machine), pixel_parts, machine);
    blocking.cost = predict(geometry, work, pack, blocking, machine);
    if (best.cost.us < 0 || blocking.cost.us < best.cost.us) best = blocking;
  }
  return best;
}

PointwiseConvolution::PointwiseConvolution(const PointwiseGeometry& geometry,
                                           std::shared_ptr<const PackedPointwise> weights,
                                           const PointwiseKernels& kernels, const PointwiseBlocking& blocking,
                                           Prologue prologue)
    : geometry_(geometry),
      weights_(std::move(weights)),
      kernels_(kernels),
      blocking_(blocking),
      prologue_(std::move(prologue)) {
  const std::int64_t count = divide_up(geometry_.out_pixels(), blocking_.pixels);
  for (std::int64_t n = 0; n < geometry_.batch; ++n) {
    for (std::int64_t b = 0; b < count; ++b) {
      blocks_.push_back({n, geometry_.out_pixels() * b / count, geometry_.out_pixels() * (b + 1) / count});
    }
  }
  const std::int64_t plane = packs() ? blocking_.pixels : geometry_.in_pixels();
  for (const std::int32_t c : weights_->columns) {
    offsets_.push_back(static_cast<std::uint32_t>(c / geometry_.block * plane * geometry_.block + c % geometry_.block));
  }
  split_groups();
}

/// Gives each part about the same work.
void PointwiseConvolution::split_groups() {
  // A group costs its weights, and some time to start and to write.
  constexpr std::int64_t kGroupCost = 8;
  const std::int64_t count = weights_->group_count();
  std::vector<std::int64_t> cost(static_cast<std::size_t>(count), kGroupCost);
  for (std::size_t i = 0; i < weights_->groups.size(); ++i) {
    cost[i % cost.size()] += weights_->groups[i].vectors * weights_->groups[i].columns;
  }
  const std::int64_t total = std::accumulate(cost.begin(), cost.end(), std::int64_t{0}), parts = blocking_.group_parts;
  std::int64_t seen = 0;
  group_starts_.push_back(0);
  for (std::int64_t g = 0; g < count; ++g) {
    const std::int64_t each = cost[static_cast<std::size_t>(g)];
    const auto started = static_cast<std::int64_t>(group_starts_.size());
    if (started < parts && (2 * seen + each) * parts > 2 * total * started) group_starts_.push_back(g);
    seen += each;
  }
  while (static_cast<std::int64_t>(group_starts_.size()) <= parts) group_starts_.push_back(count);
}

std::int64_t PointwiseConvolution::scratch_floats() const {
  return packs() ? round_up(geometry_.in_blocks() * geometry_.block * blocking_.pixels, 16) : 0;
}

std::int64_t PointwiseConvolution::workspace_floats() const {
  return scratch_floats() * blocking_.pixel_parts * blocking_.group_parts;
}

void PointwiseConvolution::run_group(const Operands& operands, const Block& block, std::int64_t index,
                                     const float* x) const {
  const PointwiseGeometry& g = geometry_;
  const PointwiseGroup& group = weights_->groups[static_cast<std::size_t>(index)];
  PointwiseTile tile;
  tile.offsets = offsets_.data() + group.first_column;
  tile.weights = weights_->halved ? nullptr : weights_->weights.data() + group.offset;
  tile.halves = weights_->halved ? bfloat16s(weights_->weights) + group.offset : nullptr;
  tile.columns = group.columns;
  tile.vectors = group.vectors;
  tile.bias = operands.bias + group.first_vector * kernels_.lanes;
  tile.first = index < weights_->group_count();
  tile.last = index >= (weights_->chunks - 1) * weights_->group_count();
  tile.activation = operands.activation;
  const std::int64_t last_channel = (group.first_vector + group.vectors) * kernels_.lanes;
  tile.channels = static_cast<int>(std::clamp<std::int64_t>(
      g.out_channels - (last_channel - kernels_.lanes), 0, kernels_.lanes));
  std::int64_t planes[2] = {0, 0};  // in an image
  for (int v = 0; v < group.vectors; ++v) {
    const std::int64_t k = (group.first_vector + v) * kernels_.lanes;
    planes[v] = k / g.block * g.out_pixels() * g.block + k % g.block;
  }
  float* y = operands.y + block.image * g.out_pitch;
  const float* residual = operands.residual != nullptr ? operands.residual + block.image * g.residual_pitch : nullptr;
  const std::int64_t pixels = block.last - block.first;
  const std::int64_t tiles = divide_up(pixels, kernels_.max_pixels[group.vectors - 1]);
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t first = pixels * t / tiles, last = pixels * (t + 1) / tiles;
    tile.x = x + first * g.block;
    tile.pixels = static_cast<int>(last - first);
    for (int v = 0; v < 2; ++v) {
      const std::int64_t at = planes[v] + (block.first + first) * g.block;
      tile.y[v] = y + at;
      tile.residual[v] = residual != nullptr ? residual + at : nullptr;
    }
    kernels_.multiply(tile);
  }
}

void PointwiseConvolution::run_part(const Operands& operands, std::int64_t pixel_part, std::int64_t group_part,
                                    int thread) const {
  const PointwiseGeometry& g = geometry_;
  const auto count = static_cast<std::int64_t>(blocks_.size());
  const std::int64_t parts = blocking_.pixel_parts;
  for (std::int64_t b = count * pixel_part / parts; b < count * (pixel_part + 1) / parts; ++b) {
    const Block& block = blocks_[static_cast<std::size_t>(b)];
    const float* image = operands.x + block.image * g.in_pitch;
    const float* x = image + block.first * g.block;
    if (packs()) {
      float* scratch = operands.workspace + scratch_floats() * thread;
      PackTask task{image,        g.in_blocks(), g.in_pixels(), g.in_width, g.out_width, g.stride, block.first,
                    block.last - block.first, nullptr, nullptr, prologue_.low, scratch, blocking_.pixels};
      if (prologue_.factors) {
        task.scale = prologue_.factors->scale.data();
        task.shift = prologue_.factors->shift.data();
      }
      kernels_.pack(task);
      x = scratch;
    }
    const auto part = static_cast<std::size_t>(group_part);
    for (std::int64_t chunk = 0; chunk < weights_->chunks; ++chunk) {
      const std::int64_t base = chunk * weights_->group_count();
      for (std::int64_t i = group_starts_[part]; i < group_starts_[part + 1]; ++i) {
        run_group(operands, block, base + i, x);
      }
    }
  }
}

void PointwiseConvolution::run(const Operands& operands) const {
  const int parts = blocking_.pixel_parts * blocking_.group_parts;
  parallel_for(parts, parts, [&](std::int64_t part, int thread) {
    run_part(operands, part / blocking_.group_parts, part % blocking_.group_parts, thread);
  });
}

}  // namespace wins::runtime::cpu
