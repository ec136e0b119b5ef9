// The normal equations and their solution against the definition in double.
#include "solver.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <tuple>

#include "block_output.hpp"
#include "layers.hpp"
#include "moments.hpp"

namespace wins::refit {
namespace {

using testing::exact_moments;
using testing::ExactMoments;
using testing::make_problem;
using testing::Problem;
using testing::Solution;
using testing::solve;
using winograd::Axis;

Moments moments_of(const Problem& problem, const LinearLayer& layer) {
  Moments moments(layer, 2);
  testing::gather_all(moments, layer, problem.x, problem.y);
  return moments;
}

class MomentsOfTile : public ::testing::TestWithParam<int> {};

TEST_P(MomentsOfTile, MatchTheDefinition) {
  const Problem problem = make_problem(GetParam(), 3, 2);
  const LinearLayer& layer = problem.layer;
  const Moments moments = moments_of(problem, layer);
  const ExactMoments exact = exact_moments(layer, problem.x, problem.y);
  const std::int64_t C = layer.C, n = layer.positions * C;
  double scale = 0;
  for (std::int64_t i = 0; i < n; ++i) scale = std::max(scale, exact.H[static_cast<std::size_t>(i * n + i)]);
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (int other = xi; other < layer.positions; ++other) {
      const float* block = moments.block(xi, other);
      for (std::int64_t r = 0; r < C; ++r) {
        for (std::int64_t c = 0; c < C; ++c) {
          const std::int64_t i = xi * C + r, j = other * C + c;
          const double raw = block == nullptr ? 0 : static_cast<double>(block[r * C + c]);
          const double centred =
              raw - moments.mean()[static_cast<std::size_t>(i)] * moments.mean()[static_cast<std::size_t>(j)];
          EXPECT_NEAR(centred, exact.H[static_cast<std::size_t>(i * n + j)], 2e-5 * scale)
              << xi << " " << other;
        }
      }
    }
    for (std::int64_t k = 0; k < layer.K; ++k) {
      for (std::int64_t c = 0; c < C; ++c) {
        const double centred =
            static_cast<double>(moments.rhs()[static_cast<std::size_t>((xi * layer.K + k) * C + c)]) -
            moments.mean()[static_cast<std::size_t>(xi * C + c)] *
                moments.target_mean()[static_cast<std::size_t>(k)];
        EXPECT_NEAR(centred, exact.rhs[static_cast<std::size_t>(k * n + xi * C + c)],
                    1e-4 * std::sqrt(scale));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TileSizes, MomentsOfTile, ::testing::Values(2, 4));

/// Solves a small dense system by elimination with pivoting.
std::vector<double> eliminate(std::vector<double> M, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t pivot = i;
    for (std::size_t r = i + 1; r < n; ++r)
      pivot = std::abs(M[r * n + i]) > std::abs(M[pivot * n + i]) ? r : pivot;
    for (std::size_t c = 0; c < n; ++c) std::swap(M[i * n + c], M[pivot * n + c]);
    std::swap(b[i], b[pivot]);
    for (std::size_t r = i + 1; r < n; ++r) {
      const double f = M[r * n + i] / M[i * n + i];
      for (std::size_t c = i; c < n; ++c) M[r * n + c] -= f * M[i * n + c];
      b[r] -= f * b[i];
    }
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t c = i + 1; c < n; ++c) b[i] -= M[i * n + c] * b[c];
    b[i] /= M[i * n + i];
  }
  return b;
}

/// Indices into [positions * C] of the weights that channel k keeps.
std::vector<std::size_t> kept_of(const LinearLayer& layer, std::int64_t k) {
  std::vector<std::size_t> kept;
  for (int xi = 0; xi < layer.positions; ++xi) {
    for (std::int64_t c = 0; c < layer.C; ++c) {
      if (layer.mask.weight_kept(xi, k, c)) kept.push_back(static_cast<std::size_t>(xi * layer.C + c));
    }
  }
  return kept;
}

double weight_of(const LinearLayer& layer, const Tensor& weights, std::int64_t k, std::size_t i) {
  const auto C = static_cast<std::size_t>(layer.C);
  const std::size_t at =
      (i / C * static_cast<std::size_t>(layer.K) + static_cast<std::size_t>(k)) * C + i % C;
  return static_cast<double>(weights.data<float>()[at]);
}

double mean_diagonal(const LinearLayer& layer, const ExactMoments& exact) {
  const auto n = static_cast<std::size_t>(layer.positions * layer.C);
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (!layer.alive(static_cast<int>(i / static_cast<std::size_t>(layer.C)))) continue;
    sum += exact.H[i * n + i];
    ++count;
  }
  return sum / count;
}

struct MaskCase {
  int m;
  Axis axis;
  std::size_t every;
};

/// A pruned layer, its solution, and what that must satisfy.
struct SolvedProblem {
  explicit SolvedProblem(const MaskCase& mask) {
    Problem problem = make_problem(mask.m, 3, 4);
    testing::prune_units(problem.layer, mask.axis, mask.every);
    const double ridge = 0.05;
    solution = solve(problem.layer, moments_of(problem, problem.layer), ridge, 500, 1e-7);
    exact = exact_moments(problem.layer, problem.x, problem.y);
    rho = ridge * mean_diagonal(problem.layer, exact);
    layer = problem.layer;
  }

  LinearLayer layer;
  Solution solution;
  ExactMoments exact;
  double rho = 0;
};

class SolutionUnderMask : public ::testing::TestWithParam<MaskCase> {};

TEST_P(SolutionUnderMask, SolvesTheNormalEquations) {
  const SolvedProblem solved(GetParam());
  const auto& [layer, solution, exact, rho] = solved;
  ASSERT_TRUE(solution.solved);
  const auto n = static_cast<std::size_t>(layer.positions * layer.C);
  for (std::int64_t k = 0; k < layer.K; ++k) {
    const std::vector<std::size_t> kept = kept_of(layer, k);
    std::vector<double> M(kept.size() * kept.size()), b(kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      b[i] = exact.rhs[static_cast<std::size_t>(k) * n + kept[i]] +
             rho * weight_of(layer, layer.weights, k, kept[i]);
      for (std::size_t j = 0; j < kept.size(); ++j)
        M[i * kept.size() + j] = exact.H[kept[i] * n + kept[j]] + (i == j ? rho : 0);
    }
    const std::vector<double> want = eliminate(M, b);
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const double d = weight_of(layer, solution.weights, k, kept[i]) - want[i];
      error += d * d;
      norm += want[i] * want[i];
    }
    EXPECT_LE(std::sqrt(error), 2e-4 * std::sqrt(norm)) << "channel " << k;
  }
}

TEST_P(SolutionUnderMask, IsAMinimumByFiniteDifferences) {
  const SolvedProblem solved(GetParam());
  const auto& [layer, solution, exact, rho] = solved;
  ASSERT_TRUE(solution.solved);
  const auto n = static_cast<std::size_t>(layer.positions * layer.C);
  const std::vector<std::size_t> kept = kept_of(layer, 1);
  std::vector<double> u, old;
  for (const std::size_t i : kept) {
    u.push_back(weight_of(layer, solution.weights, 1, i));
    old.push_back(weight_of(layer, layer.weights, 1, i));
  }
  const auto objective = [&] {
    double value = 0;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      value += rho * (u[i] - old[i]) * (u[i] - old[i]) - 2 * u[i] * exact.rhs[n + kept[i]];
      for (std::size_t j = 0; j < kept.size(); ++j) value += u[i] * exact.H[kept[i] * n + kept[j]] * u[j];
    }
    return value;
  };
  const double best = objective();
  for (double& weight : u) {
    for (const double step : {-0.05, 0.05}) {
      weight += step;
      EXPECT_GT(objective(), best);
      weight -= step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Masks, SolutionUnderMask,
                         ::testing::Values(MaskCase{2, Axis::row, 3}, MaskCase{2, Axis::row, 1},
                                           MaskCase{4, Axis::row, 4}, MaskCase{2, Axis::column, 2},
                                           MaskCase{2, Axis::element, 3}));

TEST(Solution, PrunedWeightsStayZero) {
  Problem problem = make_problem(2, 3, 4);
  testing::prune_units(problem.layer, Axis::element, 4);
  const Solution solution = solve(problem.layer, moments_of(problem, problem.layer), 0.01, 100, 1e-4);
  for (int xi = 0; xi < 16; ++xi) {
    for (std::int64_t k = 0; k < 4; ++k) {
      for (std::int64_t c = 0; c < 3; ++c) {
        if (problem.layer.mask.weight_kept(xi, k, c)) continue;
        EXPECT_EQ(solution.weights.data<float>()[static_cast<std::size_t>((xi * 4 + k) * 3 + c)], 0.0F);
      }
    }
  }
}

TEST(Solution, InputsThatDoNotVaryLeaveTheWeights) {
  Problem problem = make_problem(2, 3, 4);
  for (Tensor& x : problem.x) x = Tensor(DType::f32, x.shape());
  const Solution solution = solve(problem.layer, moments_of(problem, problem.layer), 0.01, 100, 1e-4);
  EXPECT_FALSE(solution.solved);
  EXPECT_EQ(max_abs_difference(solution.weights, problem.layer.weights), 0);
}

TEST(Tiles, SamplesAreDrawnOnceAndTheSameEachTime) {
  const Problem problem = make_problem(2, 3, 2);
  const auto count = [](const std::vector<TileClass>& classes) {
    std::size_t n = 0;
    for (const TileClass& kind : classes) n += kind.tiles.size();
    return n;
  };
  EXPECT_EQ(count(sample_tiles(problem.layer, problem.y[0].shape(), problem.y.size(), 1 << 20, 0)), 6U * 4 * 5);
  const auto few = sample_tiles(problem.layer, problem.y[0].shape(), problem.y.size(), 30, 1);
  EXPECT_EQ(count(few), 30U);
  const auto again = sample_tiles(problem.layer, problem.y[0].shape(), problem.y.size(), 30, 1);
  ASSERT_EQ(few.size(), again.size());
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>> seen;
  for (std::size_t i = 0; i < few.size(); ++i) {
    ASSERT_EQ(few[i].tiles.size(), again[i].tiles.size());
    for (std::size_t t = 0; t < few[i].tiles.size(); ++t) {
      const Tile &a = few[i].tiles[t], &b = again[i].tiles[t];
      EXPECT_EQ(std::tie(a.batch, a.picture, a.row, a.col), std::tie(b.batch, b.picture, b.row, b.col));
      EXPECT_TRUE(seen.emplace(a.batch, a.picture, a.row, a.col).second);
    }
  }
}

}  // namespace
}  // namespace wins::refit
