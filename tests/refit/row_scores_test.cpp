// Scores of rows against explicit least squares in double.
#include "wins/refit/row_scores.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cpu_backend.hpp"
#include "layers.hpp"
#include "moments.hpp"
#include "pruning/networks.hpp"
#include "scores.hpp"
#include "wins/base/exception.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/pruning/prune.hpp"

namespace wins::refit {
namespace {

using ::testing::HasSubstr;
using testing::make_problem;
using testing::Problem;
using Matrix = std::vector<double>;  // square, row-major

/// Gauss-Jordan; `A` is symmetric positive definite.
std::vector<double> solve_dense(Matrix A, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t r = 0; r < n; ++r) {
      if (r == i) continue;
      const double f = A[r * n + i] / A[i * n + i];
      for (std::size_t c = i; c < n; ++c) A[r * n + c] -= f * A[i * n + c];
      b[r] -= f * b[i];
    }
  }
  for (std::size_t i = 0; i < n; ++i) b[i] /= A[i * n + i];
  return b;
}

/// min over b with support `keep` of b^T A b - 2 b^T g: - g_S^T A_SS^-1 g_S.
double least(const Matrix& A, const std::vector<double>& g, const std::vector<std::size_t>& keep) {
  const std::size_t n = g.size(), s = keep.size();
  Matrix sub(s * s);
  std::vector<double> part(s);
  for (std::size_t i = 0; i < s; ++i) {
    part[i] = g[keep[i]];
    for (std::size_t j = 0; j < s; ++j) sub[i * s + j] = A[keep[i] * n + keep[j]];
  }
  const std::vector<double> x = solve_dense(sub, part);
  return -std::inner_product(part.begin(), part.end(), x.begin(), 0.0);
}

Moments moments_of(const Problem& problem) {
  Moments moments(problem.layer, 2);
  moments.gather(problem.x, sample_tiles(problem.layer, problem.y[0].shape(), problem.y.size(), 1 << 20, 0), {});
  return moments;
}

std::vector<double> row_of(const LinearLayer& layer, std::int64_t xi, std::int64_t k) {
  const auto u = layer.weights.data<float>().subspan(static_cast<std::size_t>((xi * layer.K + k) * layer.C),
                                                     static_cast<std::size_t>(layer.C));
  return {u.begin(), u.end()};
}

double mean_diagonal(const Matrix& A, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += A[i * n + i] / static_cast<double>(n);
  return sum;
}

class ScoresOfTile : public ::testing::TestWithParam<int> {};

TEST_P(ScoresOfTile, ObsIsTheRiseOfTheErrorWhenTheOthersAreSolvedAgain) {
  const Problem problem = make_problem(GetParam(), 5, 4);
  const LinearLayer& layer = problem.layer;
  const auto C = static_cast<std::size_t>(layer.C), n = static_cast<std::size_t>(layer.positions) * C;
  Matrix H = testing::exact_moments(layer, problem.x, problem.y).H;
  const double rho = 0.01 * mean_diagonal(H, n);
  for (std::size_t i = 0; i < n; ++i) H[i * n + i] += rho;
  const std::vector<double> weight{1, 4, 0.25, 1};
  const auto scores = obs_scores(layer, moments_of(problem), weight, 0.01, 2);
  ASSERT_TRUE(scores);
  for (int xi = 0; xi < layer.positions; xi += GetParam() == 2 ? 1 : 7) {
    std::vector<std::size_t> keep;
    for (std::size_t i = 0; i < n; ++i) {
      if (i / C != static_cast<std::size_t>(xi)) keep.push_back(i);
    }
    for (std::int64_t k = 0; k < layer.K; ++k) {
      // The error of weights w is (w - u)^T (H + rho I) (w - u): 0 at u.
      std::vector<double> u, g(n, 0.0);
      for (int other = 0; other < layer.positions; ++other) {
        for (const double value : row_of(layer, other, k)) u.push_back(value);
      }
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) g[i] += H[i * n + j] * u[j];
      }
      const double rise = std::inner_product(u.begin(), u.end(), g.begin(), 0.0) + least(H, g, keep);
      const double score = scores->data<double>()[static_cast<std::size_t>(xi * layer.K + k)];
      EXPECT_NEAR(score, rise * weight[static_cast<std::size_t>(k)], 1e-3 * score) << xi << " " << k;
    }
  }
}

TEST_P(ScoresOfTile, CovariancesOfRowsMatchTheDefinition) {
  const Problem problem = make_problem(GetParam(), 5, 4);
  const LinearLayer& layer = problem.layer;
  const auto C = static_cast<std::size_t>(layer.C), P = static_cast<std::size_t>(layer.positions), n = P * C;
  const Matrix H = testing::exact_moments(layer, problem.x, problem.y).H;
  const auto S = row_covariances(layer, moments_of(problem), 2);
  for (std::size_t k = 0; k < 4; ++k) {
    const double scale = mean_diagonal(S[k], P);
    for (std::size_t a = 0; a < P; ++a) {
      for (std::size_t b = 0; b < P; ++b) {
        const auto u = row_of(layer, static_cast<std::int64_t>(a), static_cast<std::int64_t>(k));
        const auto v = row_of(layer, static_cast<std::int64_t>(b), static_cast<std::int64_t>(k));
        double want = 0;
        for (std::size_t i = 0; i < C; ++i) {
          for (std::size_t j = 0; j < C; ++j) want += u[i] * H[(a * C + i) * n + b * C + j] * v[j];
        }
        EXPECT_NEAR(S[k][a * P + b], want, 1e-4 * scale) << k << " " << a << " " << b;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, ScoresOfTile, ::testing::Values(2, 4));

// Every removal costs what brute force over the scalars says, and no other row would have cost less.
TEST(GramScores, EachRemovalIsTheCheapestByBruteForce) {
  const Problem problem = make_problem(2, 5, 4);
  const auto S = row_covariances(problem.layer, moments_of(problem), 1);
  constexpr std::size_t P = 16;
  for (const Matrix& own : S) {
    Matrix A = own;
    const double rho = 1e-3 * mean_diagonal(own, P);
    std::vector<double> g(P, 0.0);
    for (std::size_t i = 0; i < P; ++i) {
      A[i * P + i] += rho;
      for (std::size_t j = 0; j < P; ++j) g[i] += own[i * P + j];
    }
    std::vector<std::size_t> keep(P);
    std::iota(keep.begin(), keep.end(), 0);
    const auto order = removal_order(own, std::vector<char>(P, 1), 1e-3);
    ASSERT_EQ(order.size(), P);
    for (const Removal& removal : order) {
      const double now = least(A, g, keep);
      double best = std::numeric_limits<double>::infinity();
      std::size_t which = P;
      for (const std::size_t row : keep) {
        std::vector<std::size_t> rest;
        for (const std::size_t other : keep) {
          if (other != row) rest.push_back(other);
        }
        const double rise = least(A, g, rest) - now;
        if (rise < best) {
          best = rise;
          which = row;
        }
      }
      EXPECT_EQ(static_cast<std::size_t>(removal.xi), which);
      EXPECT_NEAR(removal.cost, best, 1e-8 * mean_diagonal(own, P));
      std::erase(keep, which);
    }
  }
}

TEST(GramScores, OneOfTwoEqualRowsGoesFirstHoweverLarge) {
  // Rows 0 and 1 are the same scalar with a large energy, 2 and 3 are independent and small.
  const Matrix S{9, 9, 0, 0, 9, 9, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2};
  const auto order = removal_order(S, {1, 1, 1, 1}, 1e-3);
  EXPECT_EQ(order[0].xi, 0);
  EXPECT_LT(order[0].cost, 0.1);
  EXPECT_EQ(order[1].xi, 2);
  EXPECT_EQ(order[2].xi, 3);
  EXPECT_NEAR(order[3].cost, 36, 0.2);  // the other one has taken over both
}

TEST(GramScores, PrunedRowsComeFirstAndAChannelsFactorCounts) {
  LinearLayer layer = testing::winograd_layer(2, 1, 2);
  layer.mask.keep.assign(32, 0);
  for (const std::size_t row : {0, 1, 2, 3}) layer.mask.keep[row] = 1;  // positions 0 and 1 of both channels
  Matrix S(256, 0.0);
  S[0] = 1;
  S[17] = 2;
  const auto place = [&](const std::vector<double>& weight) {
    const Tensor scores = gram_scores(layer, {S, S}, weight, 1e-3, 1);
    const auto values = scores.data<double>();
    for (std::size_t i = 4; i < 32; ++i) EXPECT_LT(values[i], 28);
    return std::vector<double>(values.begin(), values.begin() + 4);
  };
  EXPECT_EQ(place({1, 1}), (std::vector<double>{28, 29, 30, 31}));  // equals: the lower index first
  EXPECT_EQ(place({9, 1}), (std::vector<double>{30, 28, 31, 29}));
}

graph::Graph dense_winograd(graph::Graph graph, int m = 2) {
  pruning::PruneConfig config;
  config.method = pruning::Method::dense;
  config.m = m;
  pruning::prune(graph, config, {});
  return graph;
}

std::vector<Tensor> pictures(const Shape& shape) {
  return {random_normal(shape, 3), random_normal(shape, 4)};
}

TEST(RowScores, OfANetworkAreFiniteDeterministicAndOfTheRightShape) {
  const graph::Graph graph = dense_winograd(pruning::testing::five_layers(true));
  for (const RowScore kind : {RowScore::gram, RowScore::obs}) {
    RowScoreOptions options;
    std::size_t calls = 0;
    options.progress = [&](std::size_t, std::size_t layers, const std::string&) {
      EXPECT_EQ(layers, 3U);
      ++calls;
    };
    const auto one = row_scores(kind, graph, pictures({4, 3, 12, 12}), options);
    const auto two = row_scores(kind, graph, pictures({4, 3, 12, 12}), options);
    EXPECT_EQ(calls, 8U);
    ASSERT_EQ(one.size(), 3U);
    EXPECT_EQ(one.at("b").rows.shape(), (Shape{16, 10}));
    EXPECT_EQ(one.at("b").filters.shape(), (Shape{10}));
    for (const auto& [name, scores] : one) {
      EXPECT_EQ(scores.note, "");
      for (const double value : scores.rows.data<double>()) EXPECT_TRUE(std::isfinite(value)) << name;
      EXPECT_EQ(relative_l2(two.at(name).rows, scores.rows), 0) << name;
    }
  }
}

// A filter's score is the variance of what its batch norm gives; a row without weights scores lowest.
TEST(RowScores, FiltersCountAfterBatchNormAndZeroRowsGoFirst) {
  graph::Graph graph = dense_winograd(pruning::testing::chain(8, 7, {{"a", 6, 3, 1, true}}));
  Tensor& U = *graph.value(graph.find_node("a")->inputs[1]).constant;
  for (std::int64_t c = 0; c < 8; ++c)
    U.mutable_data<float>()[static_cast<std::size_t>((5 * 6 + 2) * 8 + c)] = 0;
  graph.outputs = {graph.find_node("a.bn")->outputs[0]};
  const std::vector<Tensor> batches = pictures({4, 8, 7, 7});
  RowScoreOptions all;
  all.tiles_per_weight = 1e9;
  for (const RowScore kind : {RowScore::gram, RowScore::obs}) {
    const LayerScores scores = row_scores(kind, graph, batches, all).at("a");
    const auto rows = scores.rows.data<double>();
    EXPECT_EQ(std::min_element(rows.begin(), rows.end()) - rows.begin(), 5 * 6 + 2);
    Frontier<Tensor> frontier(graph, batches, open_sessions("cpu", 1));
    frontier.advance(graph.nodes.size() - 1);
    const Activations& out = frontier.at(graph.value(graph.outputs[0]).name);
    for (std::int64_t k = 0; k < 6; ++k) {
      double sum = 0, squares = 0;
      for (const Tensor& t : out) {
        for (std::int64_t i = 0; i < t.size(); ++i) {
          if (i / 49 % 6 != k) continue;
          const auto v = static_cast<double>(t.data<float>()[static_cast<std::size_t>(i)]);
          sum += v / (8 * 49);
          squares += v * v / (8 * 49);
        }
      }
      const double variance = squares - sum * sum;
      EXPECT_NEAR(scores.filters.data<double>()[static_cast<std::size_t>(k)], variance, 1e-3 * variance);
    }
  }
}

TEST(RowScores, PicturesWithoutContentGiveZeros) {
  const graph::Graph graph = dense_winograd(pruning::testing::chain(8, 7, {{"a", 6, 3, 1, false}}));
  const std::vector<Tensor> black{Tensor(DType::f32, {2, 8, 7, 7})};
  const LayerScores obs = row_scores(RowScore::obs, graph, black).at("a");
  for (const double value : obs.rows.data<double>()) EXPECT_EQ(value, 0);
  const LayerScores gram = row_scores(RowScore::gram, graph, black).at("a");
  for (std::size_t i = 0; i < 96; ++i) EXPECT_EQ(gram.rows.data<double>()[i], static_cast<double>(i));
  for (const double value : gram.filters.data<double>()) EXPECT_EQ(value, 0);
}

TEST(RowScores, OfManyChannels) {
  const graph::Graph graph = dense_winograd(pruning::testing::chain(64, 9, {{"a", 64, 3, 1, true}}));
  const LayerScores obs = row_scores(RowScore::obs, graph, pictures({8, 64, 9, 9})).at("a");
  EXPECT_EQ(obs.note, "");
  double sum = 0;
  for (const double value : obs.rows.data<double>()) sum += value;
  EXPECT_TRUE(std::isfinite(sum));
  EXPECT_GT(sum, 0);
}

TEST(RowScores, KeepTheMemoryLimit) {
  const graph::Graph graph = dense_winograd(pruning::testing::chain(32, 7, {{"a", 32, 3, 1, false}}));
  std::string reason;
  const LinearLayer layer =
      *describe(graph::specialize(graph, {{2, 32, 7, 7}}), *graph.find_node("a"), reason);
  RowScoreOptions options;
  options.memory_limit = Moments::bytes(layer) + obs_bytes(layer) - 1;
  const std::vector<Tensor> batches = pictures({2, 32, 7, 7});
  const LayerScores scores = row_scores(RowScore::obs, graph, batches, options).at("a");
  EXPECT_THAT(scores.note, HasSubstr("scored by gram"));
  options.memory_limit = 0;
  EXPECT_EQ(relative_l2(scores.rows, row_scores(RowScore::gram, graph, batches, options).at("a").rows), 0);
  options.memory_limit = Moments::bytes(layer) - 1;
  EXPECT_THROW(row_scores(RowScore::obs, graph, batches, options), Error);
}

TEST(RowScores, RefuseWhatMakesNoSense) {
  graph::Graph graph = dense_winograd(pruning::testing::chain(8, 7, {{"a", 6, 3, 1, false}}));
  EXPECT_THROW(row_scores(RowScore::gram, graph, {}), Error);
  Tensor bad = random_normal({1, 8, 7, 7}, 1);
  bad.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(row_scores(RowScore::gram, graph, {bad}), Error);
  RowScoreOptions options;
  options.obs_ridge = 0;
  EXPECT_THROW(row_scores(RowScore::obs, graph, pictures({1, 8, 7, 7}), options), Error);
  graph.value(graph.find_node("a")->inputs[1]).constant->mutable_data<float>()[0] =
      std::numeric_limits<float>::infinity();
  EXPECT_THROW(row_scores(RowScore::gram, graph, pictures({1, 8, 7, 7})), Error);
}

}  // namespace
}  // namespace wins::refit
