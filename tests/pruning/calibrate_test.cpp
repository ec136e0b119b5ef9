#include <gtest/gtest.h>

#include "networks.hpp"
#include "wins/base/error.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::pruning {
namespace {

/// E[V^2] by the definition, tile by tile, B written out.
std::vector<double> naive_energy(const winograd::Algorithm& f, const std::array<std::int64_t, 4>& pads,
                                 const Tensor& x, std::int64_t& tiles) {
  const std::int64_t N = x.dim(0), C = x.dim(1), H = x.dim(2), W = x.dim(3);
  const int p = f.p();
  const auto at = [&](std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
    if (h < 0 || w < 0 || h >= H || w >= W) return 0.0;
    return static_cast<double>(x.data<float>()[static_cast<std::size_t>(((n * C + c) * H + h) * W + w)]);
  };
  std::vector<double> energy(static_cast<std::size_t>(p * p * C), 0.0);
  tiles = 0;
  const std::int64_t out_h = H + pads[0] + pads[2] - f.r + 1;
  const std::int64_t out_w = W + pads[1] + pads[3] - f.r + 1;
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t h = 0; h < out_h; h += f.m) {
      for (std::int64_t w = 0; w < out_w; w += f.m) {
        ++tiles;
        for (std::int64_t c = 0; c < C; ++c) {
          for (int xi = 0; xi < p * p; ++xi) {
            double v = 0;
            for (int y = 0; y < p; ++y) {
              for (int z = 0; z < p; ++z) v += f.B(y, xi / p) * at(n, c, h + y - pads[0], w + z - pads[1]) * f.B(z, xi % p);
            }
            energy[static_cast<std::size_t>(xi * C + c)] += v * v;
          }
        }
      }
    }
  }
  return energy;
}

TEST(InputEnergy, MatchesTheDefinitionOnOddSizesAndPads) {
  for (const int m : {2, 4}) {
    const winograd::Algorithm& f = winograd::algorithm(m, 3);
    for (const std::array<std::int64_t, 4>& pads :
         {std::array<std::int64_t, 4>{1, 1, 1, 1}, {0, 0, 0, 0}, {2, 0, 1, 3}}) {
      const Tensor first = random_normal({2, 3, 7, 9}, 1);
      const Tensor second = random_normal({1, 3, 5, 6}, 2);
      InputEnergy energy;
      accumulate_input_energy(f, pads, first, energy);
      accumulate_input_energy(f, pads, second, energy);
      std::int64_t tiles_1 = 0, tiles_2 = 0;
      const auto want_1 = naive_energy(f, pads, first, tiles_1);
      const auto want_2 = naive_energy(f, pads, second, tiles_2);
      EXPECT_EQ(energy.tiles, tiles_1 + tiles_2);
      const Tensor mean = energy.mean();
      ASSERT_EQ(mean.shape(), (Shape{f.positions(), 3}));
      for (std::size_t i = 0; i < want_1.size(); ++i) {
        const double want = (want_1[i] + want_2[i]) / static_cast<double>(tiles_1 + tiles_2);
        EXPECT_NEAR(mean.data<double>()[i], want, 1e-12 * (1 + want));
      }
    }
  }
}

TEST(InputEnergy, RejectsWhatItCannotSum) {
  InputEnergy energy;
  const winograd::Algorithm& f = winograd::algorithm(2, 3);
  EXPECT_THROW(energy.mean(), Error);
  EXPECT_THROW(accumulate_input_energy(f, {0, 0, 0, 0}, Tensor(DType::f32, {1, 3, 2, 2}), energy), Error);
  EXPECT_THROW(accumulate_input_energy(f, {1, 1, 1, 1}, Tensor(DType::f64, {1, 3, 4, 4}), energy), Error);
  EXPECT_THROW(accumulate_input_energy(f, {1, 1, 1, 1}, Tensor(DType::f32, {3, 4, 4}), energy), Error);
  accumulate_input_energy(f, {1, 1, 1, 1}, random_normal({1, 3, 4, 4}, 1), energy);
  EXPECT_THROW(accumulate_input_energy(f, {1, 1, 1, 1}, random_normal({1, 4, 4, 4}, 1), energy), Error);
}

TEST(Calibrate, SeesTheInputsOfEachLayer) {
  const graph::Graph graph = testing::five_layers(true);
  const std::vector<Tensor> batches{random_normal({2, 3, 12, 12}, 1), random_normal({3, 3, 12, 12}, 2)};
  const Calibration calibration = calibrate(graph, batches, 2);
  ASSERT_EQ(calibration.size(), 3U);
  for (const auto& [name, layer] : calibration) {
    const graph::ValueId input = graph.find_node(name)->input(0);
    InputEnergy want;
    for (const Tensor& batch : batches) {
      const Tensor x = runtime::ref::run_all(graph, {batch}, runtime::ref::Precision::float32)[static_cast<std::size_t>(input)];
      accumulate_input_energy(winograd::algorithm(2, 3), {1, 1, 1, 1}, x, want);
    }
    EXPECT_LT(relative_l2(layer.input_energy, want.mean()), 1e-4) << name;
  }
}

TEST(Calibrate, TakesTheNetworksInputDirectlyAndSharedInputsOnce) {
  graph::Graph graph = testing::chain(8, 6, {{"a", 8, 3, 1, false}});
  const graph::ValueId w = graph.add_constant("w2", random_normal({8, 8, 3, 3}, 9));
  graph::Conv conv;
  conv.window.kernel = {3, 3};
  conv.window.pads = {0, 0, 0, 0};
  graph.outputs.push_back(graph.add_node("side", conv, {graph.inputs[0], w}));
  const std::vector<Tensor> batches{random_normal({2, 8, 6, 6}, 1)};
  const Calibration calibration = calibrate(graph, batches, 4);
  InputEnergy padded, valid;
  accumulate_input_energy(winograd::algorithm(4, 3), {1, 1, 1, 1}, batches[0], padded);
  accumulate_input_energy(winograd::algorithm(4, 3), {0, 0, 0, 0}, batches[0], valid);
  EXPECT_EQ(relative_l2(calibration.at("a").input_energy, padded.mean()), 0);
  EXPECT_EQ(relative_l2(calibration.at("side").input_energy, valid.mean()), 0);
}

TEST(Calibrate, NeedsImages) { EXPECT_THROW(calibrate(testing::five_layers(), {}, 2), Error); }

}  // namespace
}  // namespace wins::pruning
