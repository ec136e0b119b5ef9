// Errors and targets behind batch norm, residual add and activation, against the definition.
#include "block_output.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "layers.hpp"

namespace wins::refit {
namespace {

constexpr std::int64_t kN = 2, kK = 4, kH = 5, kW = 7;

struct Block {
  Block(double low, double high, bool residual) {
    for (std::uint64_t b = 0; b < 2; ++b) {
      for (auto* activations : {&target, &dense_other, &other, &y})
        activations->push_back(random_normal({kN, kK, kH, kW}, seed++));
    }
    dense.scale = {1.5, -0.5, 1e-9, 0.7};
    dense.offset = {0.1, -0.2, 0.3, 0.0};
    pruned = dense;
    pruned.offset = {0.2, -0.1, 0.3, 0.1};
    dense.low = pruned.low = low;
    dense.high = pruned.high = high;
    if (residual) branches = {&target, &dense_other, &other};
  }
  static std::size_t index(std::int64_t n, std::int64_t k, std::int64_t i) {
    return static_cast<std::size_t>((n * kK + k) * kH * kW + i);
  }
  double value(const Activations& a, std::size_t b, std::size_t i) const { return static_cast<double>(a[b].data<float>()[i]); }
  double dense_z(std::size_t b, std::size_t k, std::size_t i) const {
    return dense.scale[k] * value(target, b, i) + dense.offset[k] + (branches.other ? value(dense_other, b, i) : 0);
  }
  double z(std::size_t b, std::size_t k, std::size_t i, double output) const {
    return pruned.scale[k] * output + pruned.offset[k] + (branches.other ? value(other, b, i) : 0);
  }
  double clamp(double v) const { return std::clamp(v, dense.low, dense.high); }

  std::uint64_t seed = 1;
  Surroundings dense, pruned;
  Activations target, dense_other, other, y;
  BlockOutput::Branches branches{&target, nullptr, nullptr};
};

struct Case {
  double low, high;
  bool residual;
};
const double kInf = std::numeric_limits<double>::infinity();

class BlockOutputOf : public ::testing::TestWithParam<Case> {};

TEST_P(BlockOutputOf, ErrorIsThatOfTheDefinition) {
  const Block block(GetParam().low, GetParam().high, GetParam().residual);
  const BlockOutput output(block.dense, block.pruned, block.branches, 2);
  const std::vector<double> shift{0.3, -0.2, 0.1, 0.0};
  std::vector<double> squared(kK, 0.0), want(kK, 0.0);
  double energy = 0;
  for (std::size_t b = 0; b < 2; ++b) output.judge(b, block.y[b], shift, squared);
  for (std::size_t k = 0; k < kK; ++k) {
    double sum = 0, squares = 0, count = 0;
    for (std::size_t b = 0; b < 2; ++b) {
      for (std::int64_t n = 0; n < kN; ++n) {
        for (std::int64_t i = 0; i < kH * kW; ++i) {
          const std::size_t at = Block::index(n, static_cast<std::int64_t>(k), i);
          const double f = block.clamp(block.dense_z(b, k, at));
          const double d = block.clamp(block.z(b, k, at, block.value(block.y, b, at) + shift[k])) - f;
          want[k] += d * d;
          sum += f;
          squares += f * f;
          ++count;
        }
      }
    }
    energy += squares - sum * sum / count;
    EXPECT_NEAR(squared[k], want[k], 1e-9 * want[k] + 1e-12) << k;
  }
  double all = 0;
  for (const double value : want) all += value;
  EXPECT_NEAR(output.relative(squared), std::sqrt(all / energy), 1e-9);
}

/// Outputs that meet the targets exactly: in front of the activation the error is gone, and halfway there it has
/// fallen.
TEST_P(BlockOutputOf, OutputsAtTheTargetsHaveNoError) {
  const Block block(GetParam().low, GetParam().high, GetParam().residual);
  const BlockOutput output(block.dense, block.pruned, block.branches, 2);
  const LinearLayer layer = testing::winograd_layer(2, 3, kK);
  const auto classes = sample_tiles(layer, {kN, kK, kH, kW}, 2, 1 << 20, 0);
  const std::vector<double> none(kK, 0.0);
  std::vector<double> before(kK, 0.0);
  TileTargets targets = output.linear_targets(layer, classes);
  for (const bool linear : {true, false}) {
    if (!linear) {
      for (std::size_t b = 0; b < 2; ++b) output.retarget(b, block.y[b], none, layer, classes, targets);
    }
    for (const double step : {1.0, 0.5}) {
      Activations moved = block.y;
      for (std::size_t kind = 0; kind < classes.size(); ++kind) {
        const auto T = static_cast<std::int64_t>(classes[kind].tiles.size());
        for (std::int64_t t = 0; t < T; ++t) {
          const Tile& tile = classes[kind].tiles[static_cast<std::size_t>(t)];
          for (std::int64_t a = 0; a < 4; ++a) {
            const std::int64_t h = tile.row + a / 2, w = tile.col + a % 2;
            if (h >= kH || w >= kW) continue;
            for (std::int64_t k = 0; k < kK; ++k) {
              float& v = moved[static_cast<std::size_t>(tile.batch)].mutable_data<float>()[Block::index(tile.picture, k, h * kW + w)];
              const float goal = targets[kind][static_cast<std::size_t>((a * kK + k) * T + t)];
              v += static_cast<float>(step) * (goal - v);
            }
          }
        }
      }
      std::vector<double> start(kK, 0.0), after(kK, 0.0);
      for (std::size_t b = 0; b < 2; ++b) {
        output.judge(b, block.y[b], none, start);
        output.judge(b, moved[b], none, after);
      }
      for (const std::size_t k : {0U, 1U, 3U}) {  // channel 2 is switched off
        if (step == 1.0) {
          EXPECT_NEAR(after[k], 0, 1e-9 * start[k] + 1e-9) << k;
        } else {
          EXPECT_LT(after[k], start[k]) << k;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, BlockOutputOf,
                         ::testing::Values(Case{-kInf, kInf, false}, Case{-kInf, kInf, true}, Case{0, kInf, false},
                                           Case{0, kInf, true}, Case{-0.5, 0.5, true}));

}  // namespace
}  // namespace wins::refit
