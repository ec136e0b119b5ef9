#include "wins/pruning/criteria.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wins/base/error.hpp"

namespace wins::pruning {
namespace {

using winograd::Axis;

LayerView random_layer(int m, std::int64_t K, std::int64_t C, std::uint64_t seed) {
  LayerView layer;
  layer.name = "conv1";
  layer.algorithm = &winograd::algorithm(m, 3);
  const int positions = layer.algorithm->positions();
  layer.U = random_normal({positions, K, C}, seed);
  layer.input_energy = Tensor(DType::f64, {positions, C});
  const Tensor noise = random_normal({positions, C}, seed + 1);
  for (std::size_t i = 0; i < noise.data<float>().size(); ++i) {
    layer.input_energy.mutable_data<double>()[i] = 0.1 + std::abs(static_cast<double>(noise.data<float>()[i]));
  }
  return layer;
}

double weight(const LayerView& layer, int xi, std::int64_t k, std::int64_t c) {
  const std::int64_t K = layer.U.dim(1);
  const std::int64_t C = layer.U.dim(2);
  return static_cast<double>(layer.U.data<float>()[static_cast<std::size_t>((xi * K + k) * C + c)]);
}

TEST(Names, RoundTripAndListOnError) {
  for (const char* name : {"l1", "l2", "output-aware", "fpgm", "whc", "gram", "obs"}) {
    EXPECT_EQ(to_string(parse_criterion(name)), name);
  }
  try {
    parse_criterion("l3");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "unknown criterion 'l3' (one of l1, l2, output-aware, fpgm, whc, gram, obs)");
  }
}

TEST(Criteria, RowsAndColumnsMatchNaiveSums) {
  const LayerView layer = random_layer(2, 3, 5, 1);
  const auto l1 = score_units(Criterion::l1, layer, Axis::row);
  const auto l2 = score_units(Criterion::l2, layer, Axis::column);
  ASSERT_EQ(l1.size(), 16U * 3);
  ASSERT_EQ(l2.size(), 16U * 5);
  for (int xi = 0; xi < 16; ++xi) {
    for (std::int64_t k = 0; k < 3; ++k) {
      double sum = 0;
      for (std::int64_t c = 0; c < 5; ++c) sum += std::abs(weight(layer, xi, k, c));
      EXPECT_DOUBLE_EQ(l1[static_cast<std::size_t>(xi * 3 + k)], sum);
    }
    for (std::int64_t c = 0; c < 5; ++c) {
      double sum = 0;
      for (std::int64_t k = 0; k < 3; ++k) sum += weight(layer, xi, k, c) * weight(layer, xi, k, c);
      EXPECT_DOUBLE_EQ(l2[static_cast<std::size_t>(xi * 5 + c)], sum);
    }
  }
}

// The definition itself: energy of the output tile when only this unit speaks and its inputs are
// independent with E[V^2] as given.
TEST(Criteria, OutputAwareIsTheOutputEnergyOfAUnit) {
  for (const int m : {2, 4}) {
    LayerView layer = random_layer(m, 3, 4, 7);
    layer.output_scale = {1, -2, 0.5};
    const int p = layer.algorithm->p();
    const auto rows = score_units(Criterion::output_aware, layer, Axis::row);
    const auto elements = score_units(Criterion::output_aware, layer, Axis::element);
    for (int xi = 0; xi < p * p; ++xi) {
      for (std::int64_t k = 0; k < 3; ++k) {
        double energy = 0;
        for (std::int64_t c = 0; c < 4; ++c) {
          double weight_energy = 0;
          for (int a = 0; a < m; ++a) {
            for (int b = 0; b < m; ++b) {
              const double gain = layer.output_scale[static_cast<std::size_t>(k)] * layer.algorithm->A(xi / p, a) *
                                  layer.algorithm->A(xi % p, b) * weight(layer, xi, k, c);
              weight_energy += gain * gain * layer.input_energy.data<double>()[static_cast<std::size_t>(xi * 4 + c)];
            }
          }
          EXPECT_NEAR(elements[static_cast<std::size_t>((xi * 3 + k) * 4 + c)], weight_energy, 1e-12 * (1 + weight_energy));
          energy += weight_energy;
        }
        EXPECT_NEAR(rows[static_cast<std::size_t>(xi * 3 + k)], energy, 1e-12 * energy);
      }
    }
  }
}

TEST(Criteria, FilterScoresAddUpOverPositions) {
  const LayerView layer = random_layer(2, 4, 3, 3);
  for (const Criterion criterion : {Criterion::l1, Criterion::l2, Criterion::output_aware}) {
    const auto rows = score_units(criterion, layer, Axis::row);
    const auto filters = score_filters(criterion, layer);
    ASSERT_EQ(filters.size(), 4U);
    for (std::size_t k = 0; k < 4; ++k) {
      double sum = 0;
      for (std::size_t xi = 0; xi < 16; ++xi) sum += rows[xi * 4 + k];
      EXPECT_NEAR(filters[k], sum, 1e-12 * sum);
    }
  }
}

TEST(Criteria, FpgmAndWhcMatchNaiveImplementations) {
  const LayerView layer = random_layer(2, 6, 5, 4);
  const auto fpgm = score_filters(Criterion::fpgm, layer);
  const auto whc = score_filters(Criterion::whc, layer);
  for (std::int64_t k = 0; k < 6; ++k) {
    double distances = 0;
    double hybrid = 0;
    for (std::int64_t j = 0; j < 6; ++j) {
      double square = 0, dot = 0, norm_k = 0, norm_j = 0;
      for (int xi = 0; xi < 16; ++xi) {
        for (std::int64_t c = 0; c < 5; ++c) {
          const double a = weight(layer, xi, k, c);
          const double b = weight(layer, xi, j, c);
          square += (a - b) * (a - b);
          dot += a * b;
          norm_k += a * a;
          norm_j += b * b;
        }
      }
      distances += std::sqrt(square);
      const double cosine = dot / std::sqrt(norm_k * norm_j);
      if (j != k) hybrid += std::sqrt(norm_k) * std::sqrt(norm_j) * (1 - std::abs(cosine));
    }
    EXPECT_NEAR(fpgm[static_cast<std::size_t>(k)], distances, 1e-10 * distances);
    EXPECT_NEAR(whc[static_cast<std::size_t>(k)], hybrid, 1e-10 * hybrid);
  }
}

/// K filters that are constant `values[k]` along one axis of a 1-channel layer: f_k = values[k] * e_axis[k].
LayerView axis_filters(const std::vector<std::pair<int, float>>& filters) {
  LayerView layer;
  layer.name = "conv1";
  layer.algorithm = &winograd::algorithm(2, 3);
  const auto K = static_cast<std::int64_t>(filters.size());
  layer.U = Tensor(DType::f32, {16, K, 1});
  for (std::int64_t k = 0; k < K; ++k) {
    const auto [xi, value] = filters[static_cast<std::size_t>(k)];
    layer.U.mutable_data<float>()[static_cast<std::size_t>(xi * K + k)] = value;
  }
  return layer;
}

TEST(Criteria, FpgmFindsTheMiddleOfALine) {
  // 1, 2, 4 on one line: distances 4, 3, 5. The middle one is redundant.
  const auto scores = score_filters(Criterion::fpgm, axis_filters({{0, 1.0F}, {0, 2.0F}, {0, 4.0F}}));
  EXPECT_EQ(scores, (std::vector<double>{4, 3, 5}));
}

TEST(Criteria, FpgmLeavesRemovedFiltersOut) {
  const auto scores = score_filters(Criterion::fpgm, axis_filters({{0, 1.0F}, {0, 0.0F}, {0, 2.0F}, {0, 4.0F}}));
  EXPECT_EQ(scores, (std::vector<double>{4, 0, 3, 5}));
}

TEST(Criteria, WhcPrefersIndependentFilters) {
  // f0 and f1 are parallel (opposite), f2 is orthogonal: only products with f2 count.
  const auto scores = score_filters(Criterion::whc, axis_filters({{0, 3.0F}, {0, -2.0F}, {5, 1.0F}}));
  EXPECT_EQ(scores, (std::vector<double>{3, 2, 5}));
}

TEST(Criteria, GivenScoresAreTakenAsTheyAre) {
  LayerView layer = random_layer(2, 3, 4, 5);
  for (const Criterion criterion : {Criterion::gram, Criterion::obs}) {
    layer.row_scores = layer.filter_scores = Tensor();
    EXPECT_THROW(score_units(criterion, layer, Axis::row), Error);
    EXPECT_THROW(score_filters(criterion, layer), Error);
    layer.row_scores = Tensor(DType::f64, {16, 3});
    layer.filter_scores = Tensor(DType::f64, {3});
    layer.row_scores.mutable_data<double>()[7] = 5;
    layer.filter_scores.mutable_data<double>()[1] = 2;
    EXPECT_EQ(score_units(criterion, layer, Axis::row)[7], 5);
    EXPECT_EQ(score_filters(criterion, layer), (std::vector<double>{0, 2, 0}));
    EXPECT_THROW(score_units(criterion, layer, Axis::column), Error);
    layer.row_scores = Tensor(DType::f64, {36, 3});  // of another tile size
    EXPECT_THROW(score_units(criterion, layer, Axis::row), Error);
  }
}

TEST(Criteria, RefuseWhatDoesNotApply) {
  LayerView layer = random_layer(2, 3, 4, 5);
  EXPECT_THROW(score_units(Criterion::fpgm, layer, Axis::row), Error);
  EXPECT_THROW(score_units(Criterion::whc, layer, Axis::row), Error);
  layer.output_scale = {1};
  EXPECT_THROW(score_units(Criterion::output_aware, layer, Axis::row), Error);
  layer.output_scale.clear();
  layer.input_energy = Tensor(DType::f64, {36, 4});  // of another tile size
  EXPECT_THROW(score_units(Criterion::output_aware, layer, Axis::row), Error);
  layer.input_energy = Tensor();
  EXPECT_THROW(score_units(Criterion::output_aware, layer, Axis::row), Error);
  EXPECT_NO_THROW(score_units(Criterion::l2, layer, Axis::row));
  layer.U.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(score_units(Criterion::l2, layer, Axis::row), Error);
  EXPECT_THROW(score_filters(Criterion::fpgm, layer), Error);
  layer.U = Tensor(DType::f32, {4, 3, 4});
  EXPECT_THROW(score_units(Criterion::l2, layer, Axis::row), Error);
}

}  // namespace
}  // namespace wins::pruning
