// The stem's packed filters, read in the order of its kernel and multiplied with one window, and how blocks cut its layers.
#include "wins/runtime/cuda/stem_layer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

double value_of(std::uint32_t bits, Operand operand) {
  const auto half = static_cast<std::uint16_t>(bits);
  return static_cast<double>(operand == Operand::bf16 ? from_bfloat16(half) : from_float16(half));
}

/// Sums of all filters over `window` [kh, kw, C], by the filters of one of `parities`.
std::vector<double> multiply(const StemPack& pack, StemShape shape, int shift, Operand operand, const Tensor& window, std::int64_t K, std::size_t parity = 0,
                             std::size_t parities = 1) {
  const std::int64_t rows = window.dim(0), columns = window.dim(1), C = window.dim(2);
  const auto x = window.data<float>();
  std::vector<double> sums(static_cast<std::size_t>(pack.slices * kStemFilters), 0.0);
  const std::size_t words = pack.fragments.size() / static_cast<std::size_t>(pack.slices) / parities;
  std::size_t at = 0;
  for (std::int64_t slice = 0; slice < pack.slices; ++slice) {
    at = (static_cast<std::size_t>(slice) * parities + parity) * words;
    for (std::int64_t i = 0; i < std::int64_t{stem_parts(operand)} * shape.rows * shape.steps; ++i) {
      const std::int64_t y = i / shape.steps % shape.rows, step = i % shape.steps;
      for (std::int64_t thread = 0; thread < kStemThreads; ++thread) {
        for (std::int64_t e = 0; e < 8; ++e) {
          // The A fragment of m16n8k16, a warp for 16 filters.
          const std::int64_t filter = slice * kStemFilters + thread / 32 * 16 + thread % 32 / 4 + e / 2 % 2 * 8;
          const std::int64_t k = thread % 4 * 2 + e % 2 + e / 4 * 8, column = step * 4 + k / 4 - shift, c = k % 4;
          const double weight = value_of(pack.fragments.at(at + static_cast<std::size_t>(e / 2)) >> (16 * (e % 2)), operand);
          if (filter >= K || y >= rows || column < 0 || column >= columns || c >= C) {
            EXPECT_EQ(weight, 0.0) << "what fills up must be zero";
            continue;
          }
          sums[static_cast<std::size_t>(filter)] += weight * static_cast<double>(x[static_cast<std::size_t>((y * columns + column) * C + c)]);
        }
        at += 4;
      }
    }
  }
  EXPECT_EQ(at, pack.fragments.size() - (parities - 1 - parity) * words);
  for (std::size_t k = 0; k < pack.scales.size(); ++k) sums[k] *= static_cast<double>(pack.scales[k]);
  return sums;
}

TEST(StemPack, MultipliedGivesTheConvolutionsSums) {
  const std::int64_t shapes[][4] = {{64, 3, 7, 7}, {96, 4, 7, 8}, {5, 1, 3, 3}, {33, 3, 5, 6}, {70, 2, 3, 4}, {1, 3, 1, 1}};
  for (const auto& [K, C, kh, kw] : shapes) {
    const Tensor weights = random_normal({K, C, kh, kw}, 3, 1e-4F), window = random_normal({kh, kw, C}, 5);
    for (const auto& [operand, rounding] :
         {std::pair{Operand::f16, 0x1p-9}, std::pair{Operand::bf16, 0x1p-8}, std::pair{Operand::tf32, 0x1p-11}, std::pair{Operand::f32, 0x1p-21}}) {
      for (int shift = 0; shift < 2; ++shift) {
        SCOPED_TRACE(to_string(weights.shape()) + " operand " + std::to_string(static_cast<int>(operand)) + " shift " + std::to_string(shift));
        const StemShape shape = stem_shape(static_cast<int>(kh), static_cast<int>(kw) + shift, 64);
        if (kw + shift > 8) {
          EXPECT_EQ(shape.rows, 0);
          continue;
        }
        const std::vector<double> got = multiply(pack_stem(weights, {shift}, shape, operand), shape, shift, operand, window, K);
        const auto w = weights.data<float>(), x = window.data<float>();
        for (std::int64_t k = 0; k < K; ++k) {
          double want = 0, bound = 1e-12;
          for (std::int64_t c = 0; c < C; ++c) {
            for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
              const double term = static_cast<double>(w[static_cast<std::size_t>((k * C + c) * kh * kw + tap)]) *
                                  static_cast<double>(x[static_cast<std::size_t>(tap * C + c)]);
              want += term;
              bound += std::fabs(term) * rounding + 1e-10;
            }
          }
          EXPECT_NEAR(got[static_cast<std::size_t>(k)], want, bound) << k;
        }
      }
    }
  }
}

TEST(StemPack, WithStrideOneBothParitiesGiveTheSameSums) {
  for (const int pad : {0, 1, 2, 3}) {
    for (const Operand operand : {Operand::f16, Operand::f32}) {
      StemLayer layer;
      layer.stride = 1;
      layer.pad_left = pad;
      const std::vector<int> shifts = stem_shifts(layer);
      ASSERT_EQ(shifts, (std::vector<int>{pad % 2, 1 - pad % 2}));
      // Windows of both parities begin at even columns, 0 or 16 bytes apart.
      EXPECT_EQ(first_column(layer) % 2, 0);
      EXPECT_EQ(first_column(layer) + shifts[0], -pad);
      EXPECT_EQ(first_column(layer) + parity_bytes(layer) / kStemPixelBytes + shifts[1], 1 - pad);
      const StemShape shape = stem_shape(3, 4, 64);
      const Tensor weights = random_normal({70, 3, 3, 3}, 3), window = random_normal({3, 3, 3}, 5);
      const StemPack pack = pack_stem(weights, shifts, shape, operand);
      const std::vector<double> even = multiply(pack, shape, shifts[0], operand, window, 70, 0, 2);
      const std::vector<double> odd = multiply(pack, shape, shifts[1], operand, window, 70, 1, 2);
      for (std::size_t k = 0; k < 70; ++k) EXPECT_NEAR(even[k], odd[k], 1e-9) << k;
    }
  }
}

TEST(StemPack, RefusesWhatDoesNotFit) {
  const StemShape shape{7, 2, 64};
  Tensor weights = random_normal({4, 3, 7, 7}, 1);
  weights.mutable_data<float>()[7] = -1e5F;
  EXPECT_THROW(pack_stem(weights, {1}, shape, Operand::f16), Error);
  EXPECT_NO_THROW(pack_stem(weights, {1}, shape, Operand::bf16));
  EXPECT_NO_THROW(pack_stem(weights, {1}, shape, Operand::f32));
  weights.mutable_data<float>()[7] = std::nanf("");
  for (const Operand operand : {Operand::f16, Operand::bf16, Operand::tf32, Operand::f32}) EXPECT_THROW(pack_stem(weights, {1}, shape, operand), Error);
  EXPECT_THROW(pack_stem(random_normal({4, 3, 7, 8}, 1), {1}, shape, Operand::f32), Error);
  EXPECT_THROW(pack_stem(random_normal({4, 5, 3, 3}, 1), {0}, shape, Operand::f32), Error);
  EXPECT_THROW(pack_stem(random_normal({4, 3}, 1), {0}, shape, Operand::f32), Error);
}

/// A layer of one `size` x `size` image.
StemLayer layer_of(std::int32_t size, std::int32_t kernel, std::int32_t pad, bool pool, std::int32_t pool_pad, std::int32_t stride = 2) {
  StemLayer layer;
  layer.stride = stride;
  layer.channels = 3;
  layer.height = layer.width = size;
  layer.filters = 64;
  layer.pad_top = layer.pad_left = pad;
  layer.conv_height = layer.conv_width = (size + 2 * pad - kernel) / stride + 1;
  layer.out_height = layer.out_width = pool ? (layer.conv_height + 2 * pool_pad - 3) / 2 + 1 : layer.conv_height;
  layer.pool = pool;
  layer.pool_pad_top = layer.pool_pad_left = pool_pad;
  return layer;
}

TEST(StemCut, BlocksHaveTheColumnsBelowTheirOutputs) {
  for (const std::int32_t size : {9, 64, 224, 225, 230, 300, 640}) {
    for (const std::int32_t pool_pad : {-1, 0, 1}) {
      for (const int tile : {64, 112}) {
        SCOPED_TRACE(std::to_string(size) + " pool " + std::to_string(pool_pad) + " tile " + std::to_string(tile));
        StemLayer layer = layer_of(size, 7, 3, pool_pad >= 0, std::max(0, pool_pad));
        cut_stem_rows(layer, stem_shape(7, 8, tile), 3);
        EXPECT_GE(layer.grid_columns * layer.block_columns, layer.out_width);
        EXPECT_LT((layer.grid_columns - 1) * layer.block_columns, layer.out_width);
        EXPECT_GE(layer.grid_rows * layer.block_rows, layer.out_height);
        for (int block = 0; block < layer.grid_columns; ++block) {
          const int from = block * layer.block_columns, to = std::min(layer.out_width, from + layer.block_columns);
          const int begin = first_conv_column(layer, from);
          EXPECT_EQ(begin % 2, 0);
          const int first = layer.pool ? std::max(0, 2 * from - pool_pad) : from;
          const int last = std::min(layer.conv_width - 1, layer.pool ? 2 * (to - 1) - pool_pad + 2 : to - 1);
          EXPECT_LE(begin, first);
          EXPECT_LT(last, begin + tile);
        }
      }
    }
  }
}

TEST(StemCut, WithStrideOneBlocksHaveThePixelsBelowTheirOutputs) {
  for (const std::int32_t size : {5, 28, 32, 129, 224, 225, 640}) {
    for (const std::int32_t pad : {0, 1, 2}) {
      for (const int tile : {64, 112}) {
        SCOPED_TRACE(std::to_string(size) + " pad " + std::to_string(pad) + " tile " + std::to_string(tile));
        StemLayer layer = layer_of(size, 3, pad, false, 0, 1);
        const StemShape shape = stem_shape(3, 4, tile);
        cut_stem_rows(layer, shape, 3);
        EXPECT_EQ(layer.block_columns, 2 * tile);
        EXPECT_GE(layer.grid_columns * layer.block_columns, layer.out_width);
        EXPECT_EQ(stem_patch_rows(layer, shape), 5);
        const int patch_columns = 4 * patch_groups(layer, shape);
        for (int column = 0; column < std::min(layer.out_width, layer.block_columns); ++column) {
          const int window = patch_lead(layer) + column / 2 * kStemStep + column % 2 * parity_bytes(layer) / kStemPixelBytes;
          EXPECT_EQ(first_column(layer) - patch_lead(layer) + window + stem_shift(layer, column % 2), column - pad);
          EXPECT_LE(window + 4, patch_columns);
        }
        // What windows without pixels read stays in the block's memory.
        const StemMemory memory(layer, shape, 2, 4);
        EXPECT_LE(2 * memory.part_bytes + (shape.tile - stem_windows(layer, shape)) * 16, memory.bytes);
      }
    }
  }
}

TEST(StemCut, FitsTheDevice) {
  for (const std::int32_t size : {5, 30, 224, 299, 1024}) {
    for (const std::int32_t batch : {1, 64, 1000}) {
      for (const Operand operand : {Operand::f16, Operand::f32}) {
        for (const bool pool : {false, true}) {
          StemLayer layer = layer_of(size, 7, 3, pool, 1);
          layer.batch = batch;
          const StemDevice device{132, 100 * 1024, true};
          const StemShape shape = cut_stem(layer, 7, 8, operand, device);
          ASSERT_EQ(shape.rows, 7);
          EXPECT_LE(StemMemory(layer, shape, stem_parts(operand), storage_bytes(operand)).bytes, device.shared_bytes);
          EXPECT_LE(layer.block_rows, layer.out_height);
        }
      }
    }
  }
  StemLayer layer = layer_of(224, 7, 3, true, 1);
  EXPECT_EQ(cut_stem(layer, 7, 8, Operand::f32, {132, 1024, true}).rows, 0);
}

TEST(StemCut, PredictsWhatWasMeasured) {
  // An H200, microseconds.
  for (const auto& [operand, batch, measured] : {std::tuple{Operand::f16, 64, 58.0}, std::tuple{Operand::f32, 64, 139.0}, std::tuple{Operand::f16, 1, 5.6}}) {
    StemLayer layer = layer_of(224, 7, 3, true, 1);
    layer.batch = batch;
    const StemShape shape = cut_stem(layer, 7, 8, operand, {});
    EXPECT_NEAR(predict_stem(layer, shape, operand, {}), measured, 0.3 * measured) << batch;
  }
}

TEST(StemCut, PredictsWhatWasMeasuredWithStrideOne) {
  // An H100, microseconds; VGG's layer at batch 64 is bound by memory, which the model does not know.
  for (const auto& [size, batch, operand, measured] : {std::tuple{224, 1, Operand::f16, 5.3}, std::tuple{224, 1, Operand::f32, 8.0}, std::tuple{32, 128, Operand::f16, 10.7},
                                                       std::tuple{32, 128, Operand::f32, 19.8}}) {
    StemLayer layer = layer_of(size, 3, 1, false, 0, 1);
    layer.batch = batch;
    const StemShape shape = cut_stem(layer, 3, 4, operand, {});
    EXPECT_NEAR(predict_stem(layer, shape, operand, {}), measured, 0.3 * measured) << size << " " << batch;
  }
}

TEST(StemCut, OneImageFillsTheDevice) {
  StemLayer layer = layer_of(224, 7, 3, true, 1);
  cut_stem(layer, 7, 8, Operand::f16, {});
  EXPECT_GE(layer.grid_rows * layer.grid_columns, 56);
}

}  // namespace
}  // namespace wins::runtime::cuda
