#include "winograd_convolution.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bfloat16.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

/// Lane groups a block may have.
constexpr int kBlockSizes[] = {1, 2, 4, 6, 8};

std::int64_t block_count(std::int64_t groups, int vectors, int threads, bool split_rows) {
  const std::int64_t blocks = divide_up(groups, vectors);
  if (split_rows) return blocks;
  // The same number of blocks for each thread, as long as there are enough tiles.
  return std::min(groups, round_up(blocks, threads));
}

/// Bits of the pixels of an extent x extent square at (y0, x0) that lie in a height x width plane.
std::uint64_t pixels_inside(int extent, std::int64_t y0, std::int64_t x0, std::int64_t height,
                            std::int64_t width) {
  std::uint64_t bits = 0;
  for (int i = 0; i < extent; ++i) {
    for (int j = 0; j < extent; ++j) {
      const std::int64_t y = y0 + i, x = x0 + j;
      if (y >= 0 && x >= 0 && y < height && x < width) bits |= std::uint64_t{1} << (i * extent + j);
    }
  }
  return bits;
}

/// All tiles of a layer, batch by batch and row by row, and empty ones up to `count`.
std::vector<TilePosition> list_tiles(const WinogradGeometry& g, std::int64_t count) {
  std::vector<TilePosition> tiles(static_cast<std::size_t>(count));
  const auto pitch_of = [](std::int64_t given, std::int64_t image) { return given != 0 ? given : image; };
  const std::int64_t out_image = g.out_blocks() * g.out_height * g.out_width * g.block;
  const std::int64_t in_pitch = pitch_of(g.in_pitch, g.in_blocks() * g.in_height * g.in_width * g.block);
  const std::int64_t out_pitch = pitch_of(g.out_pitch, out_image);
  const std::int64_t residual_pitch = pitch_of(g.residual_pitch, out_image);
  std::size_t next = 0;
  for (std::int64_t n = 0; n < g.batch; ++n) {
    for (std::int64_t row = 0; row < g.tile_rows; ++row) {
      for (std::int64_t col = 0; col < g.tile_cols; ++col) {
        const std::int64_t y = row * g.m, x = col * g.m;
        const std::int64_t in_y = y * g.stride - g.pad_top, in_x = x * g.stride - g.pad_left;
        const std::int64_t pixel = (y * g.out_width + x) * g.block;
        tiles[next++] = {n * in_pitch + (in_y * g.in_width + in_x) * g.block,
                         n * out_pitch + pixel,
                         n * residual_pitch + pixel,
                         pixels_inside(g.p(), in_y, in_x, g.in_height, g.in_width),
                         pixels_inside(g.m, y, x, g.out_height, g.out_width)};
      }
    }
  }
  return tiles;
}

}  // namespace

std::string WinogradBlocking::name() const { return fmt::format("{}{}", vectors, split_rows ? "+rows" : ""); }

std::string WinogradBlocking::text() const {
  return fmt::format("{} lane groups, {}, {}", vectors,
                     split_rows ? "rows split over threads" : "tiles split over threads", cost.text());
}

std::vector<WinogradBlocking> blockings(const WinogradGeometry& geometry, const WinogradWork& work, int threads,
                                        const Machine& machine) {
  const std::int64_t groups = divide_up(geometry.tiles(), machine.lanes);
  std::vector<WinogradBlocking> all;
  for (const bool split_rows : {false, true}) {
    if (split_rows && threads == 1) continue;
    for (const int vectors : kBlockSizes) {
      if (vectors > groups && vectors != 1 && vectors / 2 >= groups) continue;
      WinogradSchedule schedule;
      schedule.groups = groups;
      schedule.blocks = block_count(groups, vectors, threads, split_rows);
      schedule.split_rows = split_rows;
      schedule.threads = threads;
      all.push_back({vectors, split_rows, predict(geometry, work, schedule, machine)});
    }
  }
  return all;
}

WinogradBlocking choose_blocking(const WinogradGeometry& geometry, const WinogradWork& work, int threads,
                                 const Machine& machine) {
  const std::vector<WinogradBlocking> all = blockings(geometry, work, threads, machine);
  return *std::min_element(all.begin(), all.end(), [](const WinogradBlocking& a, const WinogradBlocking& b) {
    return a.cost.us < b.cost.us;
  });
}

WinogradConvolution::WinogradConvolution(const WinogradGeometry& geometry,
                                         std::shared_ptr<const PackedWinograd> weights,
                                         const WinogradKernels& kernels, const WinogradBlocking& blocking,
                                         int threads)
    : geometry_(geometry),
      weights_(std::move(weights)),
      kernels_(kernels),
      blocking_(blocking),
      threads_(threads),
      groups_(divide_up(geometry.tiles(), kernels.lanes)),
      blocks_(block_count(groups_, blocking.vectors, threads, blocking.split_rows)),
      tiles_(list_tiles(geometry, groups_ * kernels.lanes)) {}

std::int64_t WinogradConvolution::v_floats() const {
  return std::max(1, weights_->live) * geometry_.in_blocks() * geometry_.block * blocking_.vectors *
         kernels_.lanes;
}

std::int64_t WinogradConvolution::m_floats() const {
  return weights_->most_rows() * blocking_.vectors * kernels_.lanes;
}

std::int64_t WinogradConvolution::scratch_floats() const {
  return transform_scratch(geometry_.p(), kernels_.lanes);
}

std::int64_t WinogradConvolution::workspace_floats() const {
  const std::int64_t own = round_up(m_floats() + scratch_floats(), 16);
  return round_up(v_floats(), 16) * (blocking_.split_rows ? 1 : threads_) + own * threads_;
}

WinogradConvolution::ThreadMemory WinogradConvolution::memory_of(int thread, float* workspace) const {
  const std::int64_t v = round_up(v_floats(), 16);
  const std::int64_t own = round_up(m_floats() + scratch_floats(), 16);
  float* rest = workspace + v * (blocking_.split_rows ? 1 : threads_) + own * thread;
  return {workspace + (blocking_.split_rows ? 0 : v * thread), rest + scratch_floats(), rest};
}

void WinogradConvolution::transform_input(const Operands& operands, std::int64_t b, std::int64_t first,
                                          std::int64_t last, const ThreadMemory& memory) const {
  InputTask task;
  task.geometry = &geometry_;
  task.coefficients = &weights_->coefficients;
  task.x = operands.x;
  task.tiles = tiles_.data() + block_start(b) * kernels_.lanes;
  task.vectors = static_cast<int>(block_start(b + 1) - block_start(b));
  task.first_block = first;
  task.last_block = last;
  task.slots = weights_->slots.data();
  task.columns = weights_->columns.empty() ? nullptr : weights_->columns.data();
  task.v = memory.v;
  task.scratch = memory.scratch;
  kernels_.transform_input(task);
}

void WinogradConvolution::multiply(const Operands& operands, std::int64_t b,
                                   const PackedWinograd::Chunk& chunk, const ThreadMemory& memory) const {
  MultiplyTask task;
  task.groups = weights_->groups.data() + chunk.first_group;
  task.group_count = chunk.group_count;
  task.weights = weights_->weights.data();
  task.halves = weights_->halved ? overlapping(weights_->weights) : nullptr;
  task.indices = weights_->indices.data();
  task.v = memory.v;
  task.panel_rows = geometry_.in_blocks() * geometry_.block;
  task.vectors = static_cast<int>(block_start(b + 1) - block_start(b));
  task.m = memory.m;
  std::fill_n(memory.m, task.vectors * kernels_.lanes, 0.0F);
  (weights_->sparse ? kernels_.multiply_sparse : kernels_.multiply)(task);

  OutputTask output;
  output.geometry = &geometry_;
  output.coefficients = &weights_->coefficients;
  output.m = memory.m;
  output.tiles = tiles_.data() + block_start(b) * kernels_.lanes;
  output.vectors = task.vectors;
  output.first_block = chunk.first_block;
  output.last_block = chunk.last_block;
  output.m_rows = weights_->m_rows.data() + chunk.first_block * geometry_.block * geometry_.positions();
  output.bias = operands.bias;
  output.residual = operands.residual;
  output.y = operands.y;
  output.activation = operands.activation;
  output.scratch = memory.scratch;
  kernels_.transform_output(output);
}

void WinogradConvolution::run_block(const Operands& operands, std::int64_t b, int thread) const {
  const ThreadMemory memory = memory_of(thread, operands.workspace);
  transform_input(operands, b, 0, geometry_.in_blocks(), memory);
  for (const PackedWinograd::Chunk& chunk : weights_->chunks) multiply(operands, b, chunk, memory);
}

void WinogradConvolution::run_split(const Operands& operands, std::int64_t b) const {
  const std::int64_t parts = std::min<std::int64_t>(threads_, geometry_.in_blocks());
  parallel_for(parts, threads_, [&](std::int64_t part, int thread) {
    transform_input(operands, b, geometry_.in_blocks() * part / parts,
                    geometry_.in_blocks() * (part + 1) / parts, memory_of(thread, operands.workspace));
  });
  parallel_for(static_cast<std::int64_t>(weights_->chunks.size()), threads_, [&](std::int64_t i, int thread) {
    multiply(operands, b, weights_->chunks[static_cast<std::size_t>(i)],
             memory_of(thread, operands.workspace));
  });
}

void WinogradConvolution::run(const Operands& operands) const {
  if (blocking_.split_rows) {
    for (std::int64_t b = 0; b < blocks_; ++b) run_split(operands, b);
    return;
  }
  parallel_for(blocks_, threads_, [&](std::int64_t b, int thread) { run_block(operands, b, thread); });
}

}  // namespace wins::runtime::cpu
