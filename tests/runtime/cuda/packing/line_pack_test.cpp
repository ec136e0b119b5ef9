// Packed lines, decoded in the order in which the kernel reads them and multiplied by plain loops.
#include "wins/runtime/cuda/line_pack.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "packed_elements.hpp"
#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr Operand kOperands[] = {Operand::f16, Operand::bf16, Operand::tf32};

TEST(LinePack, MultipliedGivesTheSums) {
  const std::int64_t shapes[][2] = {{64, 64}, {33, 20}, {128, 200}, {200, 130}, {1, 1}, {257, 8}};
  for (const auto& [K, C] : shapes) {
    const Tensor weights = random_normal({K, C, 1, 1}, 3), pixel = random_normal({C}, 5);
    const auto w = weights.data<float>(), x = pixel.data<float>();
    for (const Operand operand : kOperands) {
      for (const int tile : {64, 128}) {
        SCOPED_TRACE(to_string(weights.shape()) + " operand " + std::to_string(static_cast<int>(operand)) + " tile " + std::to_string(tile));
        const std::vector<std::uint32_t> words = pack_lines(weights, operand, tile);
        const std::int64_t per_unit = unit_channels(operand), chunks = (C + kChunkUnits * per_unit - 1) / (kChunkUnits * per_unit), tiles = (K + tile - 1) / tile;
        ASSERT_EQ(static_cast<std::int64_t>(words.size()), tiles * chunks * tile * kChunkUnits * 4);
        const int elements = 4 / storage_bytes(operand);
        std::vector<double> sums(static_cast<std::size_t>(tiles * tile), 0.0);
        std::size_t at = 0;
        for (std::int64_t t = 0; t < tiles; ++t) {
          for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
            for (std::int64_t item = 0; item < tile / kItemRows; ++item) {
              for (std::int64_t unit = 0; unit < kChunkUnits; ++unit) {
                for (std::int64_t row = 0; row < kItemRows; ++row) {
                  for (std::int64_t quarter = 0; quarter < 4; ++quarter, ++at) {
                    for (int i = 0; i < elements; ++i) {
                      const std::int64_t c = (chunk * kChunkUnits + unit) * per_unit + quarter * elements + i;
                      const double value = element(operand, words[at], i);
                      if (c >= C) EXPECT_EQ(value, 0.0);
                      else sums[static_cast<std::size_t>(t * tile + item * kItemRows + row)] += value * static_cast<double>(x[static_cast<std::size_t>(c)]);
                    }
                  }
                }
              }
            }
          }
        }
        for (std::int64_t k = 0; k < tiles * tile; ++k) {
          double want = 0;
          for (std::int64_t c = 0; k < K && c < C; ++c) want += static_cast<double>(w[static_cast<std::size_t>(k * C + c)] * x[static_cast<std::size_t>(c)]);
          EXPECT_NEAR(sums[static_cast<std::size_t>(k)], want, (operand == Operand::bf16 ? 0x1p-7 : 0x1p-10) * std::sqrt(static_cast<double>(C)) * 4) << "filter " << k;
        }
      }
    }
  }
}

TEST(LinePack, RefusesOtherKernelsAndFloat32) {
  EXPECT_THROW(pack_lines(random_normal({8, 8, 3, 3}, 1), Operand::f16, 64), Error);
  EXPECT_THROW(pack_lines(random_normal({8, 8, 1, 1}, 1), Operand::f32, 64), Error);
}

/// Scale (0) or shift (1) of a channel, as the lane that has it in its fragment finds it.
float found(const std::vector<float>& floats, Operand operand, int which, int channel) {
  const int per_unit = static_cast<int>(unit_channels(operand)), per_word = per_unit / 4, unit = channel / per_unit;
  const int chunk = unit / kChunkUnits, step = unit % kChunkUnits / 2, half = unit % 2, lane = channel % per_unit / per_word, i = channel % per_word;
  const int from = chunk * affine_floats(operand) + step * (affine_floats(operand) / kLineSteps);
  const int at = per_word == 2 ? which * 16 + lane * 4 + half * 2 + i : lane * 4 + which * 2 + half;
  return floats.at(static_cast<std::size_t>(from + at));
}

TEST(LinePack, ScaleAndShiftWhereLanesLookForThem) {
  for (const int channels : {1, 32, 64, 100, 200}) {
    std::vector<float> scale, shift;
    for (int c = 0; c < channels; ++c) {
      scale.push_back(static_cast<float>(1 + c));
      shift.push_back(static_cast<float>(-1 - c));
    }
    for (const Operand operand : kOperands) {
      const std::vector<float> floats = pack_affine(scale, shift, operand);
      const int chunk_channels = kChunkUnits * static_cast<int>(unit_channels(operand)), all = (channels + chunk_channels - 1) / chunk_channels * chunk_channels;
      ASSERT_EQ(static_cast<int>(floats.size()), all / chunk_channels * affine_floats(operand));
      for (int c = 0; c < all; ++c) {
        EXPECT_EQ(found(floats, operand, 0, c), c < channels ? static_cast<float>(1 + c) : 0) << c << " of " << channels;
        EXPECT_EQ(found(floats, operand, 1, c), c < channels ? static_cast<float>(-1 - c) : 0) << c << " of " << channels;
      }
    }
  }
}

}  // namespace
}  // namespace wins::runtime::cuda
