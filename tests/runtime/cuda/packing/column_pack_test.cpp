// Packed columns, read in the order in which the column product reads them and multiplied with one pixel.
#include "wins/runtime/cuda/column_pack.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "pruned_columns.hpp"
#include "wins/base/exception.hpp"

namespace wins::runtime::cuda {
namespace {

constexpr ColumnTile kTiles[] = {ColumnTile::tall, ColumnTile::wide, ColumnTile::small};

/// What a block does with one pixel, the first: its lines of each chunk to "shared memory", then every step's products from there.
class Multiplier {
 public:
  Multiplier(const ColumnPack& pack, const std::vector<float>& pixel, std::int64_t K) : pack_(pack), pixel_(pixel), sums_(static_cast<std::size_t>(K), 0.0) {}

  std::vector<double> run() {
    const int tiles = static_cast<int>(pack_.first_chunk.size()) - 1;
    for (int tile = 0; tile < tiles; ++tile) {
      for (int c = pack_.first_chunk[static_cast<std::size_t>(tile)]; c < pack_.first_chunk[static_cast<std::size_t>(tile) + 1]; ++c) {
        add_chunk(pack_.chunks.at(static_cast<std::size_t>(c)), tile * pack_.size().filters);
      }
    }
    return sums_;
  }

 private:
  void add_chunk(const ColumnChunk& chunk, int first_filter) {
    int begin = 0;
    for (int slot = pack_.size().lines; slot < kMaxLines; ++slot) EXPECT_EQ(chunk.lines[slot], kNoLine);
    for (int strip = 0; strip < kMaxStrips; ++strip) {
      for (int step = begin; step < chunk.ends[strip]; ++step) add_step(chunk, chunk.first_step + step, first_filter + strip * kStripFilters);
      EXPECT_LE(begin, chunk.ends[strip]);
      begin = chunk.ends[strip];
    }
    EXPECT_LE(begin, pack_.size().steps) << "more than shared memory holds";
  }

  void add_step(const ColumnChunk& chunk, int step, int first_filter) {
    const std::uint32_t* words = &pack_.steps.at(static_cast<std::size_t>(step * step_words(pack_.operand)));
    const int parts = column_parts(pack_.operand), part_words = kStripFilters * kStepChannels;
    for (int k = 0; k < kStepChannels; ++k) {
      const std::uint32_t offset = words[parts * part_words + k % 4] >> (k / 4 * 16) & 0xffff;
      const int slot = static_cast<int>(offset) / pack_.size().line_bytes(), within = static_cast<int>(offset) % pack_.size().line_bytes();
      ASSERT_LT(slot, pack_.size().lines);
      ASSERT_NE(chunk.lines[slot], kNoLine);
      ASSERT_LT(within, kLineBytes);
      ASSERT_EQ(within % 4, 0);
      const auto channel = static_cast<std::size_t>(chunk.lines[slot] * kLineChannels + within / 4);
      for (int filter = 0; filter < kStripFilters; ++filter) {
        double weight = 0;
        for (int part = 0; part < parts; ++part) {
          const int at = ((part * 8 + filter / 8) * 2 + k / 4) * 32 + filter % 8 * 4 + k % 4;
          weight += static_cast<double>(std::bit_cast<float>(words[at]));
        }
        const auto to = static_cast<std::size_t>(first_filter + filter);
        if (to < sums_.size()) sums_[to] += weight * static_cast<double>(channel < pixel_.size() ? pixel_[channel] : 0.0F);
        else EXPECT_EQ(weight, 0.0) << "what fills up must be zero";
      }
    }
  }

  const ColumnPack& pack_;
  const std::vector<float>& pixel_;
  std::vector<double> sums_;
};

void check(const Tensor& weights) {
  const std::int64_t K = weights.dim(0), C = weights.dim(1);
  const Tensor x = random_normal({C}, 5);
  const std::vector<float> pixel(x.data<float>().begin(), x.data<float>().end());
  const auto w = weights.data<float>();
  for (const ColumnTile tile : kTiles) {
    for (const auto& [operand, rounding] : {std::pair{Operand::tf32, 0x1p-11}, std::pair{Operand::f32, 0x1p-22}}) {
      SCOPED_TRACE(to_string(weights.shape()) + " tile " + std::to_string(static_cast<int>(tile)) + " operand " + std::to_string(static_cast<int>(operand)));
      const ColumnPack pack = pack_columns(weights, operand, tile);
      const std::vector<double> got = Multiplier(pack, pixel, K).run();
      for (std::int64_t k = 0; k < K; ++k) {
        double want = 0, bound = 1e-12;
        for (std::int64_t c = 0; c < C; ++c) {
          const double term = static_cast<double>(w[static_cast<std::size_t>(k * C + c)]) * static_cast<double>(pixel[static_cast<std::size_t>(c)]);
          want += term;
          bound += std::fabs(term) * rounding;
        }
        EXPECT_NEAR(got[static_cast<std::size_t>(k)], want, bound) << k;
      }
    }
  }
}

TEST(ColumnPack, MultipliedGivesTheConvolutionsSums) {
  check(pruned_columns(64, 64, 64, 13));
  check(pruned_columns(256, 512, 64, 102));
  check(pruned_columns(70, 67, 64, 13));     // odd sizes, a short last strip
  check(pruned_columns(300, 33, 16, 7));     // strips take the union of their blocks
  check(pruned_columns(130, 130, 64, 130));  // everything kept
  check(pruned_columns(1, 1, 1, 1));
}

TEST(ColumnPack, StripsOfNothingAndOfEverything) {
  Tensor weights = pruned_columns(192, 41, 64, 0);
  const ColumnPack nothing = pack_columns(weights, Operand::f32, ColumnTile::wide);
  EXPECT_TRUE(nothing.chunks.empty());
  EXPECT_EQ(nothing.first_chunk, (std::vector<std::int32_t>{0, 0, 0}));
  check(weights);
  for (std::int64_t i = 64 * 41; i < 128 * 41; ++i) weights.mutable_data<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i % 7) - 3.5F;
  check(weights);
}

TEST(ColumnPack, CopiesNoLineThatNobodyKeeps) {
  Tensor weights = pruned_columns(64, 128, 64, 0);
  for (const int c : {3, 77, 78}) weights.mutable_data<float>()[static_cast<std::size_t>(5 * 128 + c)] = 1;
  const ColumnPack pack = pack_columns(weights, Operand::f32, ColumnTile::tall);
  std::vector<int> lines;
  for (const ColumnChunk& chunk : pack.chunks) {
    for (const std::uint16_t line : chunk.lines) {
      if (line != kNoLine) lines.push_back(line);
    }
  }
  EXPECT_EQ(lines, (std::vector<int>{0, 2}));
}

TEST(ColumnPack, LanesReadDifferentBanksWhereTheyCan) {
  Tensor weights = pruned_columns(64, 32, 64, 0);
  for (int c = 0; c < 32; c += 1 + c % 3) weights.mutable_data<float>()[static_cast<std::size_t>(c)] = 1;  // as many of each place
  for (int c = 0; c < 8; ++c) weights.mutable_data<float>()[static_cast<std::size_t>(c)] = 1;
  const ColumnPack pack = pack_columns(weights, Operand::tf32, ColumnTile::tall);
  int conflicts = 0;
  for (std::size_t step = 0; step < pack.steps.size(); step += static_cast<std::size_t>(step_words(Operand::tf32))) {
    for (const int half : {0, 16}) {
      std::vector<std::uint32_t> seen;
      for (std::size_t lane = 0; lane < 4; ++lane) seen.push_back(pack.steps[step + kStripFilters * kStepChannels + lane] >> half & 0xffff);
      for (std::size_t a = 0; a < 4; ++a) {
        for (std::size_t b = 0; b < a; ++b) conflicts += seen[a] != seen[b] && seen[a] / 4 % 4 == seen[b] / 4 % 4 ? 1 : 0;
      }
    }
  }
  EXPECT_LE(conflicts, 2);
}

TEST(ColumnPack, RefusesWhatItCannotTake) {
  Tensor weights = pruned_columns(8, 8, 8, 2);
  weights.mutable_data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(pack_columns(weights, Operand::f32, ColumnTile::tall), Error);
  EXPECT_THROW(pack_columns(random_normal({8, 8, 3, 3}, 1), Operand::f32, ColumnTile::tall), Error);
  EXPECT_THROW(pack_columns(random_normal({8, 8, 1, 1}, 1), Operand::f16, ColumnTile::tall), Error);
}

}  // namespace
}  // namespace wins::runtime::cuda
