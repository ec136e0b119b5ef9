#include "stem_convolution.hpp"

#include <algorithm>
#include <numeric>

#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

std::int64_t cache_lines(std::int64_t floats) { return round_up(floats, 16); }

int existing_channels(const StemGeometry& g, std::int64_t first, int count) {
  return static_cast<int>(std::clamp<std::int64_t>(g.out_channels - first, 0, count));
}

}  // namespace

Cost predict_stem(const StemGeometry& g, const std::optional<StemPool>& pool, int threads, const Machine& machine) {
  const double products = static_cast<double>(stem_products(g)), lanes = machine.lanes;
  const double vectors = static_cast<double>(g.out_blocks() * g.block) / lanes;
  const double tile_rows = static_cast<double>(divide_up(g.batch * g.tile_rows(), threads));
  const double cols = static_cast<double>(g.tile_cols());
  // Measured, in vector operations: of a tile and a vector of outputs (transform and stores beside the products), and
  // of a column of the input and a vector of tiles.
  const double tile_ops = vectors * (1.1 * products + 440 + (pool ? 50 : 0));
  const double input_ops = 800 * static_cast<double>(g.columns() * divide_up(g.tile_cols(), machine.lanes));
  const double compute = tile_rows * (cols * tile_ops + input_ops) * 2 * lanes / machine.flops_per_us;
  const std::int64_t outputs = pool ? pool->out_height * pool->out_width : g.out_height * g.out_width;
  Cost cost;
  cost.bytes = 4.0 * static_cast<double>(g.batch * (g.channels * g.in_height * g.in_width + g.out_blocks() * g.block * outputs));
  cost.flops = 2 * products * vectors * lanes * static_cast<double>(g.batch * g.tile_rows() * g.tile_cols());
  // Few operations a byte, and the stores come in bursts: they hide nothing.
  cost.us = compute + cost.bytes / (machine.bytes_per_us * std::min(threads, 2)) + machine.fork_us;
  return cost;
}

StemConvolution::StemConvolution(const StemGeometry& geometry, const std::optional<StemPool>& pool,
                                 std::shared_ptr<const PackedStem> weights, const StemKernels& kernels, int threads)
    : geometry_(geometry),
      pool_(pool),
      weights_(std::move(weights)),
      kernels_(kernels),
      threads_(static_cast<int>(std::min<std::int64_t>(threads, geometry.batch * geometry.tile_rows()))),
      zeros_(stem_row_floats(geometry, kernels.lanes)) {
  std::fill_n(zeros_.data(), zeros_.size(), 0.0F);
  cut();
}

std::int64_t StemConvolution::window_first(std::int64_t row) const {
  return std::max<std::int64_t>(0, row * pool_->stride[0] - pool_->pad[0]);
}

std::int64_t StemConvolution::window_last(std::int64_t row) const {
  return std::min(row * pool_->stride[0] - pool_->pad[0] + pool_->kernel[0], geometry_.out_height);
}

/// Equal numbers of rows of tiles; windows over two threads' rows are noted.
void StemConvolution::cut() {
  const std::int64_t per_image = geometry_.tile_rows(), rows = geometry_.batch * per_image;
  bands_.resize(static_cast<std::size_t>(threads_));
  for (int thread = 0; thread < threads_; ++thread) {
    const std::int64_t end = rows * (thread + 1) / threads_;
    for (std::int64_t row = rows * thread / threads_; row < end;) {
      const std::int64_t image = row / per_image, last = std::min(end, (image + 1) * per_image);
      bands_[static_cast<std::size_t>(thread)].push_back({image, row % per_image, last - image * per_image});
      row = last;
    }
    const Band& band = bands_[static_cast<std::size_t>(thread)].back();
    if (!pool_ || band.last == per_image) continue;
    const std::int64_t edge = band.last * kStemTile;
    std::int64_t slot = 0;
    for (std::int64_t row = 0; row < pool_->out_height; ++row) {
      if (window_first(row) < edge && window_last(row) > edge) splits_.push_back({thread, band.image, row, slot++});
    }
  }
}

std::array<std::int64_t, 5> StemConvolution::scratch_sizes() const {
  const std::int64_t tiles = round_up(geometry_.tile_cols(), kernels_.chunk), blocks = geometry_.out_blocks();
  std::array<std::int64_t, 5> sizes{stem_input_scratch(geometry_, kernels_.lanes), kStemPositions * geometry_.columns() * tiles,
                                    stem_tile_scratch(kernels_.max_tiles, kernels_.lanes), 0, 0};
  if (pool_) {
    sizes[3] = kept_rows() * blocks * block_row_floats();
    sizes[4] = pool_->kernel[0] * blocks * pooled_row_floats();
  }
  for (std::int64_t& size : sizes) size = cache_lines(size);
  return sizes;
}

std::int64_t StemConvolution::workspace_floats() const {
  const auto sizes = scratch_sizes();
  return threads_ * std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
}

StemConvolution::Scratch StemConvolution::scratch_of(float* workspace, int thread) const {
  const auto sizes = scratch_sizes();
  std::array<float*, 5> parts{};
  float* next = workspace + workspace_floats() / threads_ * thread;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    parts[i] = next;
    next += sizes[i];
  }
  return {parts[0], parts[1], parts[2], parts[3], parts[4]};
}

/// Of one block of channels; the rows that a window may still need, and those of a row of tiles.
float* StemConvolution::pixel_row(const Scratch& scratch, std::int64_t block, std::int64_t row) const {
  return scratch.pixels + (block * kept_rows() + row % kept_rows()) * block_row_floats();
}

/// Where row `row` of a block's pixels goes; null below the picture.
float* StemConvolution::pixels_of(const Operands& operands, const Position& at, std::int64_t row, const Scratch& scratch) const {
  if (row >= geometry_.out_height) return nullptr;
  if (pool_) return pixel_row(scratch, at.block, row);
  return operands.y + at.image * geometry_.out_pitch + (at.block * geometry_.out_height + row) * block_row_floats();
}

/// One row of tiles of vectors [first, first + count) of output channels.
void StemConvolution::multiply_row(const Operands& operands, const Position& row, std::int64_t first, int count,
                                   const Scratch& scratch) const {
  const StemGeometry& g = geometry_;
  const std::int64_t lanes = kernels_.lanes, channel = first * lanes;
  StemTileTask task{};
  task.coefficients = &weights_->coefficients;
  task.positions = weights_->positions.data();
  task.weights = weights_->weights.data() + first * weights_->vector_weights;
  task.vector_weights = weights_->vector_weights;
  task.columns = g.columns();
  task.vectors = count;
  task.bias = pool_ ? nullptr : operands.bias + channel;
  task.activation = operands.activation;
  task.channels = existing_channels(g, channel, static_cast<int>(count * lanes));
  task.scratch = scratch.tile;
  for (std::int64_t tile = 0; tile < g.tile_cols(); tile += task.tiles) {
    task.tiles = static_cast<int>(std::min<std::int64_t>(kernels_.max_tiles, g.tile_cols() - tile));
    task.v = scratch.v + tile / kernels_.chunk * kernels_.chunk * kStemPositions * g.columns() + tile % kernels_.chunk;
    task.width = g.out_width - tile * kStemTile;
    for (int k = 0; k < count; ++k) {
      const std::int64_t lane = channel + k * lanes;
      const Position at{row.image, row.tile_row, lane / g.block};
      for (int a = 0; a < kStemTile; ++a) {
        float* pixels = pixels_of(operands, at, at.tile_row * kStemTile + a, scratch);
        task.rows[k][a] = pixels != nullptr ? pixels + tile * kStemTile * g.block + lane % g.block : nullptr;
      }
    }
    kernels_.multiply(task);
  }
}

/// Pooled row `row` of pixels [first, last), into `y`.
void StemConvolution::pool_row(const Operands& operands, const Position& at, std::int64_t first, std::int64_t last,
                               const Scratch& scratch, float* y) const {
  const float* rows[kStemMaxPool];
  StemPoolTask task{};
  task.rows = rows;
  for (std::int64_t row = first; row < last; ++row) rows[task.count++] = pixel_row(scratch, at.block, row);
  task.width = geometry_.out_width;
  task.pooled_width = pool_->out_width;
  task.kernel = pool_->kernel[1];
  task.stride = pool_->stride[1];
  task.pad = pool_->pad[1];
  task.bias = operands.bias + at.block * geometry_.block;
  task.activation = operands.activation;
  task.channels = existing_channels(geometry_, at.block * geometry_.block, geometry_.block);
  task.y = y;
  kernels_.pool(task);
}

float* StemConvolution::pooled_row(float* y, std::int64_t image, std::int64_t block, std::int64_t row) const {
  return y + image * geometry_.out_pitch + (block * pool_->out_height + row) * pooled_row_floats();
}

/// Windows that end in this row of tiles; behind the band's last one, what they have of windows that the next thread ends.
void StemConvolution::pool_rows(const Operands& operands, const Position& at, const Band& band, const Scratch& scratch) const {
  const std::int64_t before = at.tile_row * kStemTile, done = std::min(before + kStemTile, geometry_.out_height);
  std::int64_t row = 0;
  while (row < pool_->out_height && window_last(row) <= before) ++row;
  for (; row < pool_->out_height && window_last(row) <= done; ++row) {
    const std::int64_t first = std::max(window_first(row), band.first * kStemTile);
    pool_row(operands, at, first, window_last(row), scratch, pooled_row(operands.y, at.image, at.block, row));
  }
  if (at.tile_row + 1 < band.last) return;
  float* split = scratch.split + at.block * pooled_row_floats();
  for (; row < pool_->out_height && window_first(row) < done; ++row, split += geometry_.out_blocks() * pooled_row_floats())
    pool_row(operands, at, window_first(row), done, scratch, split);
}

void StemConvolution::run_band(const Operands& operands, const Band& band, const Scratch& scratch) const {
  const StemGeometry& g = geometry_;
  for (std::int64_t tile_row = band.first; tile_row < band.last; ++tile_row) {
    kernels_.transform_input({&g, &weights_->coefficients, operands.x + band.image * g.channels * g.in_height * g.in_width,
                              zeros_.data(), tile_row, scratch.v, scratch.input});
    const std::int64_t vectors = g.out_blocks() * g.block / kernels_.lanes;
    std::int64_t pooled = 0;
    for (std::int64_t vector = 0; vector < vectors; vector += 2) {
      const int count = static_cast<int>(std::min<std::int64_t>(2, vectors - vector));
      multiply_row(operands, {band.image, tile_row, 0}, vector, count, scratch);
      const std::int64_t complete = (vector + count) * kernels_.lanes / g.block;
      for (; pool_ && pooled < complete; ++pooled) pool_rows(operands, {band.image, tile_row, pooled}, band, scratch);
    }
  }
}

/// The largest of both threads' parts; bias and activation are in them already, which changes nothing.
void StemConvolution::merge(const Operands& operands, const Split& split) const {
  const Scratch scratch = scratch_of(operands.workspace, split.thread);
  for (std::int64_t block = 0; block < geometry_.out_blocks(); ++block) {
    const float* part = scratch.split + (split.slot * geometry_.out_blocks() + block) * pooled_row_floats();
    float* y = pooled_row(operands.y, split.image, block, split.row);
    for (std::int64_t i = 0; i < pooled_row_floats(); ++i) y[i] = std::max(y[i], part[i]);
  }
}

void StemConvolution::run(const Operands& operands) const {
  parallel_for(threads_, threads_, [&](std::int64_t index, int) {
    const Scratch scratch = scratch_of(operands.workspace, static_cast<int>(index));
    std::fill_n(scratch.input, stem_input_scratch(geometry_, kernels_.lanes), 0.0F);
    for (const Band& band : bands_[static_cast<std::size_t>(index)]) run_band(operands, band, scratch);
  });
  parallel_for(static_cast<std::int64_t>(splits_.size()), threads_,
               [&](std::int64_t i, int) { merge(operands, splits_[static_cast<std::size_t>(i)]); });
}

}  // namespace wins::runtime::cpu
