#include "wins/runtime/cuda/stem_layer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr int kLanes = 32;
/// The power of two below which a filter's largest weight is brought: float16 has 65504.
constexpr int kScaledExponent = 14;

std::int32_t blocks_over(std::int64_t extent, std::int64_t block) { return static_cast<std::int32_t>((extent + block - 1) / block); }

/// Weights as integers of 16 bits.
class Quantiser {
 public:
  Quantiser(const Tensor& weights, Operand operand) : values_(weights.data<float>()), operand_(operand), size_(weights.size() / weights.dim(0)) {
    if (!is_scaled(operand)) return;
    for (std::int64_t k = 0; k < weights.dim(0); ++k) {
      float largest = 0;
      for (std::int64_t i = 0; i < size_; ++i) {
        const float value = values_[static_cast<std::size_t>(k * size_ + i)];
        require(std::isfinite(value), "a weight is {}", value);
        largest = std::max(largest, std::fabs(value));
      }
      int exponent = 0;
      std::frexp(largest, &exponent);
      exponents_.push_back(std::clamp(kScaledExponent - exponent, -kStemScaleLimit, kStemScaleLimit));
    }
  }

  std::vector<float> scales() const {
    std::vector<float> result;
    for (const int exponent : exponents_) result.push_back(std::ldexp(1.0F, -exponent));
    return result;
  }

  std::uint32_t bits(std::int64_t k, std::int64_t i, int part) const {
    const float value = values_[static_cast<std::size_t>(k * size_ + i)];
    if (exponents_.empty()) return operand_bits(value, operand_, 0);
    const float scaled = std::ldexp(value, exponents_[static_cast<std::size_t>(k)]);
    const std::uint16_t high = to_float16(scaled);
    return part == 0 ? high : to_float16(scaled - from_float16(high));
  }

 private:
  std::span<const float> values_;
  Operand operand_;
  std::int64_t size_;  // of a filter
  std::vector<int> exponents_;
};

}  // namespace

std::vector<StemShape> stem_shapes() { return {{3, 1, 64}, {3, 1, 112}, {7, 2, 64}, {7, 2, 112}}; }

std::vector<int> stem_shifts(const StemLayer& layer) {
  std::vector<int> shifts;
  for (int parity = 0; parity < stem_parities(layer.stride); ++parity) shifts.push_back(stem_shift(layer, parity));
  return shifts;
}

StemShape stem_shape(int rows, int columns, int tile) {
  for (const StemShape& shape : stem_shapes()) {
    if (shape.tile == tile && rows <= shape.rows && columns <= 4 * shape.steps) return shape;
  }
  return {0, 0, 0};
}

double predict_stem(const StemLayer& layer, StemShape shape, Operand operand, const StemDevice& device) {
  const int parts = stem_parts(operand);
  const StemMemory memory(layer, shape, parts, storage_bytes(operand));
  if (memory.bytes > device.shared_bytes) return std::numeric_limits<double>::infinity();
  // Nanoseconds of a block: tensor cores; loading pixels, twice under a scale, and finishing rows; what it waits for anyway.
  const double rows = conv_rows(layer, layer.block_rows), groups = stem_patch_rows(layer, shape) * patch_groups(layer, shape);
  const double slower = device.warp_groups ? 1 : parts == 1 ? 2 : shape.tile > 64 ? 4 : 2.5;  // measured, with the others
  const double tiles = rows * stem_parities(layer.stride);
  const double products = tiles * shape.rows * shape.steps * (2 * parts - 1) * shape.tile * 0.36 * slower;
  const double finishing = layer.pool ? 6.4 * shape.tile : (storage_bytes(operand) == 2 ? 7.1 : 8.8) * staged_windows(layer, shape);
  const double other = groups * (is_scaled(operand) ? 2.9 : 0.54) + tiles * finishing;
  // Blocks side by side share the tensor cores, and hide 0.4 of everything else.
  const auto wave = [&](double blocks) { return std::max(1250 + products + other, blocks * products) + (blocks - 1) * 0.6 * other; };
  const int resident = std::min(stem_blocks(operand, layer.stride, shape.rows), (device.shared_bytes + 1024) / (memory.bytes + 1024)) * device.processors;
  const std::int64_t blocks = std::int64_t{layer.batch} * layer.grid_rows * layer.grid_columns * layer.slices;
  const std::int64_t waves = blocks / resident, rest = blocks % resident;
  const double last = rest > 0 ? wave(std::ceil(static_cast<double>(rest) / device.processors)) : 0;
  return 2 + 1e-3 * (static_cast<double>(waves) * wave(resident / device.processors) + last);
}

void cut_stem_rows(StemLayer& layer, StemShape shape, int block_rows) {
  // A pooled output at a border between blocks needs columns of both, so that each of several blocks has a pair less.
  const int pairs = layer.conv_width <= shape.tile ? shape.tile / 2 : shape.tile / 2 - 1;
  layer.block_columns = layer.pool ? pairs : stem_parities(layer.stride) * shape.tile;
  layer.block_rows = block_rows;
  layer.grid_rows = blocks_over(layer.out_height, layer.block_rows);
  layer.grid_columns = blocks_over(layer.out_width, layer.block_columns);
  layer.slices = blocks_over(layer.filters, kStemFilters);
  layer.by_grid_columns = Divisor(layer.grid_columns);
  layer.by_patch_groups = Divisor(patch_groups(layer, shape));
}

StemShape cut_stem(StemLayer& layer, int rows, int columns, Operand operand, const StemDevice& device) {
  StemShape best{0, 0, 0};
  int best_rows = 1;
  double best_us = std::numeric_limits<double>::infinity();
  for (const int tile : {112, 64}) {
    const StemShape shape = stem_shape(rows, columns, tile);
    if (shape.rows == 0) continue;
    for (int block_rows = 1; block_rows <= std::min(layer.out_height, 32); ++block_rows) {
      cut_stem_rows(layer, shape, block_rows);
      const double us = predict_stem(layer, shape, operand, device);
      if (!(us < best_us)) continue;
      best_us = us;
      best = shape;
      best_rows = block_rows;
    }
  }
  if (best.rows > 0) cut_stem_rows(layer, best, best_rows);
  return best;
}

StemPack pack_stem(const Tensor& weights, const std::vector<int>& shifts, StemShape shape, Operand operand) {
  require(weights.rank() == 4, "filters of shape {} are not of rank 4", to_string(weights.shape()));
  const std::int64_t K = weights.dim(0), C = weights.dim(1), rows = weights.dim(2), columns = weights.dim(3);
  require(C <= kStemChannels && rows <= shape.rows && columns + std::ranges::max(shifts) <= 4 * shape.steps, "filters of shape {} do not fit",
          to_string(weights.shape()));
  const Quantiser quantiser(weights, operand);
  StemPack pack;
  pack.slices = blocks_over(K, kStemFilters);
  pack.scales = quantiser.scales();
  // Element `e` of a kernel row behind `shift` columns: column e / 4 and channel e % 4.
  const auto bits_of = [&](int shift, std::int64_t k, std::int64_t y, std::int64_t e, int part) -> std::uint32_t {
    const std::int64_t x = e / kStemChannels - shift, c = e % kStemChannels;
    if (k >= K || y >= rows || x < 0 || x >= columns || c >= C) return 0;
    return quantiser.bits(k, (c * rows + y) * columns + x, part);
  };
  const auto pack_step = [&](std::int64_t slice, int shift, int part, std::int64_t y, std::int64_t step) {
    for (std::int64_t thread = 0; thread < kStemThreads; ++thread) {
      const std::int64_t warp = thread / kLanes, lane = thread % kLanes;
      for (std::int64_t word = 0; word < 4; ++word) {
        const std::int64_t k = slice * kStemFilters + warp * 16 + lane / 4 + word % 2 * 8;
        const std::int64_t e = step * 16 + lane % 4 * 2 + word / 2 * 8;
        pack.fragments.push_back(bits_of(shift, k, y, e, part) | bits_of(shift, k, y, e + 1, part) << 16);
      }
    }
  };
  for (std::int64_t slice = 0; slice < pack.slices; ++slice) {
    for (const int shift : shifts) {
      for (int part = 0; part < stem_parts(operand); ++part) {
        for (std::int64_t y = 0; y < shape.rows; ++y) {
          for (std::int64_t step = 0; step < shape.steps; ++step) pack_step(slice, shift, part, y, step);
        }
      }
    }
  }
  return pack;
}

}  // namespace wins::runtime::cuda
