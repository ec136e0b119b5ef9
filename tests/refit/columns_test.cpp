// 1x1 convolutions with pruned columns: the solution against the definition in double, and whole networks.
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "layers.hpp"
#include "pruning/networks.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/column_mask.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/refit/refit.hpp"
#include "wins/runtime/session.hpp"

namespace wins::refit {
namespace {

using graph::ColumnMask;

/// A network of one 1x1 convolution, C = 9 to K = 10 with this stride, in blocks of 4, 4 and 2 rows.
graph::Graph one_layer(std::int64_t stride) { return pruning::testing::chain(9, 7, {{"a", 10, 1, stride, false}}); }

graph::Graph pruned_copy(const graph::Graph& dense, double ratio, std::int64_t block, pruning::Method method) {
  graph::Graph pruned = dense;
  pruning::PruneConfig config;
  config.method = method;
  config.criterion = pruning::Criterion::l2;
  config.columns = pruning::ColumnPruning{ratio, block, true};
  pruning::prune(pruned, config, {});
  return pruned;
}

ColumnMask mask_of(const graph::Graph& graph, const std::string& layer) {
  return graph::column_mask(graph, *graph.find_node(layer)).value();
}

/// Gaussian elimination with pivoting.
std::vector<double> solve(std::vector<double> M, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t pivot = i;
    for (std::size_t r = i + 1; r < n; ++r) pivot = std::abs(M[r * n + i]) > std::abs(M[pivot * n + i]) ? r : pivot;
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

/// Inputs that the layer reads, one row of C for each output pixel, less their mean.
std::vector<std::vector<double>> centred_inputs(const Activations& x, std::int64_t stride) {
  std::vector<std::vector<double>> rows;
  for (const Tensor& t : x) {
    for (std::int64_t n = 0; n < t.dim(0); ++n) {
      for (std::int64_t h = 0; h < t.dim(2); h += stride) {
        for (std::int64_t w = 0; w < t.dim(3); w += stride) {
          std::vector<double> row;
          for (std::int64_t c = 0; c < t.dim(1); ++c)
            row.push_back(t.data<float>()[static_cast<std::size_t>(((n * t.dim(1) + c) * t.dim(2) + h) * t.dim(3) + w)]);
          rows.push_back(std::move(row));
        }
      }
    }
  }
  for (std::size_t c = 0; c < rows[0].size(); ++c) {
    double mean = 0;
    for (const auto& row : rows) mean += row[c] / static_cast<double>(rows.size());
    for (auto& row : rows) row[c] -= mean;
  }
  return rows;
}

/// The targets are the dense layer's outputs: (H_SS + rho) (u - old)_S = (H u_dense - H old)_S for each channel.
class ColumnSolution : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(ColumnSolution, SolvesTheNormalEquationsInDouble) {
  const std::int64_t stride = GetParam(), C = 9, K = 10;
  const graph::Graph dense = one_layer(stride), pruned = pruned_copy(dense, 0.55, 4, pruning::Method::dense);
  std::string reason;
  const LinearLayer layer = describe(pruned, *pruned.find_node("a"), reason).value();
  ASSERT_EQ(layer.block, 4) << reason;
  Activations x, y;
  runtime::Session session = [&] {
    graph::Graph linear = dense;
    linear.outputs = {dense.find_node("a")->outputs[0]};
    graph::remove_unused(linear);
    return runtime::Session::open(linear);
  }();
  for (std::uint64_t b = 0; b < 3; ++b) {
    Tensor batch = random_normal({4, C, 7, 7}, b + 1);
    for (float& v : batch.mutable_data<float>()) v = std::max(v, -0.2F) + 0.5F;
    x.push_back(batch);
    y.push_back(session.run({batch}).at(0));
  }
  Moments moments(layer, 2);
  testing::gather_all(moments, layer, x, y);
  const double ridge = 0.05;
  const testing::Solution solution = testing::solve(layer, moments, ridge, 1, 0);
  ASSERT_TRUE(solution.solved);

  const auto rows = centred_inputs(x, stride);
  std::vector<double> H(static_cast<std::size_t>(C * C), 0.0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < 81; ++i) H[i] += row[i / 9] * row[i % 9] / static_cast<double>(rows.size());
  }
  double rho = 0;
  for (std::size_t c = 0; c < 9; ++c) rho += ridge * H[c * 10] / 9;
  const auto u_dense = dense.constant_input(*dense.find_node("a"), 1)->data<float>();
  const auto old = layer.weights.data<float>();
  std::size_t moved = 0;
  for (std::size_t k = 0; k < static_cast<std::size_t>(K); ++k) {
    std::vector<std::size_t> kept;
    for (std::size_t c = 0; c < 9; ++c) {
      if (old[k * 9 + c] != 0) kept.push_back(c);
    }
    ASSERT_EQ(kept.size(), 4U);
    std::vector<double> M, b;
    for (const std::size_t r : kept) {
      for (const std::size_t c : kept) M.push_back(H[r * 9 + c] + (r == c ? rho : 0));
      double sum = rho * static_cast<double>(old[k * 9 + r]);
      for (std::size_t c = 0; c < 9; ++c) sum += H[r * 9 + c] * static_cast<double>(u_dense[k * 9 + c]);
      b.push_back(sum);
    }
    const std::vector<double> want = solve(M, b);
    for (std::size_t c = 0, i = 0; c < 9; ++c) {
      const float have = solution.weights.data<float>()[k * 9 + c];
      if (old[k * 9 + c] == 0) {
        EXPECT_EQ(have, 0.0F);
      } else {
        EXPECT_NEAR(have, want[i++], 2e-5) << k << " " << c;
        moved += std::abs(have - old[k * 9 + c]) > 1e-3F ? 1 : 0;
      }
    }
  }
  EXPECT_GT(moved, 30U) << "the solution is not where it started";
}

INSTANTIATE_TEST_SUITE_P(Strides, ColumnSolution, ::testing::Values(1, 2));

TEST(ColumnSolver, InputsThatDoNotVaryLeaveTheWeights) {
  const graph::Graph pruned = pruned_copy(one_layer(1), 0.55, 4, pruning::Method::dense);
  std::string reason;
  const LinearLayer layer = describe(pruned, *pruned.find_node("a"), reason).value();
  Tensor x(DType::f32, {2, 9, 7, 7}), y = random_normal({2, 10, 7, 7}, 3);
  Moments moments(layer, 2);
  testing::gather_all(moments, layer, {x}, {y});
  EXPECT_FALSE(testing::solve(layer, moments, 0.05, 1, 0).solved);
}

graph::Graph mixed(bool batch_norm) {
  return pruning::testing::chain(3, 12, {{"stem", 8, 3, 1, batch_norm},
                                         {"first", 20, 1, 1, batch_norm},
                                         {"a", 12, 3, 1, batch_norm},
                                         {"down", 24, 1, 2, batch_norm},
                                         {"plain", 12, 3, 2, batch_norm},
                                         {"last", 10, 1, 1, batch_norm}});
}

std::vector<Tensor> pictures(int batches) {
  std::vector<Tensor> result;
  for (int b = 0; b < batches; ++b) result.push_back(random_normal({8, 3, 12, 12}, 3 + static_cast<std::uint64_t>(b)));
  return result;
}

double output_error(const graph::Graph& dense, const graph::Graph& other, const std::vector<Tensor>& batches) {
  runtime::Session a = runtime::Session::open(dense), b = runtime::Session::open(other);
  double worst = 0;
  for (const Tensor& batch : batches) worst = std::max(worst, relative_l2(b.run({batch}).at(0), a.run({batch}).at(0)));
  return worst;
}

TEST(RefitColumns, LowersTheErrorOfEveryLayerAndKeepsTheZeros) {
  for (const bool batch_norm : {false, true}) {
    for (const pruning::Method method : {pruning::Method::wins, pruning::Method::dense}) {
      const graph::Graph dense = mixed(batch_norm), pruned = pruned_copy(dense, 0.5, 16, method);
      const RefitResult result = refit(pruned, dense, pictures(4));
      EXPECT_LT(output_error(dense, result.graph, pictures(4)), 0.9 * output_error(dense, pruned, pictures(4)));
      std::set<std::string> improved;
      for (const LayerFit& fit : result.layers) {
        EXPECT_LE(fit.error_after, fit.error_before * (1 + 1e-6)) << fit.layer;
        if (fit.error_after < 0.98 * fit.error_before) improved.insert(fit.layer);
      }
      for (const char* layer : {"first", "down", "last"}) {
        EXPECT_TRUE(improved.contains(layer)) << layer;
        EXPECT_EQ(mask_of(result.graph, layer), mask_of(pruned, layer)) << layer;
      }
    }
  }
}

TEST(RefitColumns, PrunedLayersAreFittedWithoutTheOthersToo) {
  const graph::Graph dense = mixed(true), pruned = pruned_copy(dense, 0.5, 16, pruning::Method::wins);
  RefitOptions options;
  options.all_layers = false;
  for (const LayerFit& fit : refit(pruned, dense, pictures(2), options).layers)
    EXPECT_EQ(fit.refitted, fit.layer != "plain") << fit.layer << ": " << fit.reason;
}

TEST(RefitColumns, GoesOnFromWhereItStopped) {
  const graph::Graph dense = mixed(true), pruned = pruned_copy(dense, 0.5, 16, pruning::Method::wins);
  std::vector<RefitResult> states;
  RefitOptions options;
  options.checkpoint = [&](const RefitResult& result) { states.push_back(result); };
  const RefitResult whole = refit(pruned, dense, pictures(2), options);
  ASSERT_EQ(states.size(), whole.layers.size());
  options.checkpoint = nullptr;
  for (const RefitResult& state : states) {
    options.resume = &state;
    const RefitResult resumed = refit(pruned, dense, pictures(2), options);
    EXPECT_EQ(output_error(whole.graph, resumed.graph, pictures(2)), 0);
    EXPECT_EQ(mask_of(resumed.graph, "down"), mask_of(pruned, "down"));
  }
}

}  // namespace
}  // namespace wins::refit
