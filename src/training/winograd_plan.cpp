#include "winograd_plan.hpp"

#include <algorithm>

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{1} << 19;  // V and M of one block of tiles

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// Fills `factors` when row i of `matrix` columns equals factor[i] times `canonical`.
bool match_scaled(const winograd::Matrix& matrix, const std::vector<double>& canonical, double* factors) {
  for (int i = 0; i < matrix.cols; ++i) factors[i] = 0;
  for (int i = 0; i < matrix.cols; ++i) {
    for (int y = 0; y < matrix.rows; ++y) {
      const double wanted = canonical[static_cast<std::size_t>(y * matrix.cols + i)];
      if (wanted != 0 && factors[i] == 0) factors[i] = matrix(y, i) / wanted;
      if (matrix(y, i) != factors[i] * wanted && wanted != 0) return false;
      if (wanted == 0 && matrix(y, i) != 0) return false;
    }
  }
  return true;
}

Factors find_factors(const winograd::Algorithm& algorithm) {
  Factors factors;
  factors.input.fill(1);
  factors.output.fill(1);
  if (algorithm.m != 2 || algorithm.r != 3) return factors;
  // Lavin & Gray 2016, equation 7: B (columns are the rows of B^T), and A^T.
  const std::vector<double> b = {1, 0, 0, 0, 0, 1, -1, 1, -1, 1, 1, 0, 0, 0, 0, -1};
  const std::vector<double> a_transposed = {1, 1, 1, 0, 0, 1, -1, -1};
  winograd::Matrix at{2, 4, std::vector<double>(8)};
  for (int a = 0; a < 2; ++a) {
    for (int i = 0; i < 4; ++i) at(a, i) = algorithm.A(i, a);
  }
  factors.fast = match_scaled(algorithm.B, b, factors.input.data()) &&
                 match_scaled(at, a_transposed, factors.output.data());
  if (!factors.fast) {
    factors.input.fill(1);
    factors.output.fill(1);
  }
  return factors;
}

simd::AnyStep store_step(const winograd::Matrix& matrix, bool transpose, std::vector<double>& storage) {
  const int rows = transpose ? matrix.cols : matrix.rows;
  const int cols = transpose ? matrix.rows : matrix.cols;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < cols; ++c) storage.push_back(transpose ? matrix(c, r) : matrix(r, c));
  }
  return {storage.data(), rows, cols};
}

void pack_position(const Plan& plan, const float* U, bool by_row, const std::vector<std::int64_t>& kept,
                   PackedPosition& position) {
  const std::int64_t K = plan.problem->filters, C = plan.problem->channels;
  const float* source = U + position.xi * K * C;
  position.by_channel.assign(static_cast<std::size_t>(C * position.padded), 0.0F);
  if (by_row) position.by_row.assign(static_cast<std::size_t>(position.count * plan.padded_channels), 0.0F);
  for (std::size_t index = 0; index < kept.size(); ++index) {
    const std::int64_t k = kept[index];
    const std::int64_t j = position.rows.empty() ? k : static_cast<std::int64_t>(index);
    for (std::int64_t c = 0; c < C; ++c) {
      const float value = source[k * C + c] * position.factor;
      position.by_channel[static_cast<std::size_t>(c * position.padded + j)] = value;
      if (by_row) position.by_row[static_cast<std::size_t>(j * plan.padded_channels + c)] = value;
    }
  }
}

}  // namespace

void make_plan(Plan& plan, const WinogradProblem& problem, const std::vector<LivePosition>& live,
               const float* U, std::int64_t lanes, Pass pass) {
  const winograd::Algorithm& algorithm = *problem.algorithm;
  require(algorithm.p() <= kMaxTile, "Winograd tile of {} is larger than {}", algorithm.p(), kMaxTile);
  require(algorithm.stride == 1, "the Winograd kernels have no stride {}", algorithm.stride);
  plan.problem = &problem;
  plan.factors = find_factors(algorithm);
  plan.grid = winograd::tile_grid(algorithm.m, problem.out_h, problem.out_w);
  plan.p = algorithm.p();
  plan.lanes = lanes;
  plan.padded_channels = round_up(problem.channels, lanes);
  plan.padded_filters = round_up(problem.filters, lanes);
  plan.input = store_step(algorithm.B, true, plan.matrices[0]);
  plan.input_adjoint = store_step(algorithm.B, false, plan.matrices[1]);
  plan.output = store_step(algorithm.A, true, plan.matrices[2]);
  plan.output_adjoint = store_step(algorithm.A, false, plan.matrices[3]);
  std::int64_t floats = 0;
  for (const LivePosition& one : live) {
    PackedPosition position;
    position.xi = one.xi;
    const auto i = static_cast<std::size_t>(one.xi / plan.p), j = static_cast<std::size_t>(one.xi % plan.p);
    position.factor = static_cast<float>(plan.factors.input[i] * plan.factors.input[j] *
                                         plan.factors.output[i] * plan.factors.output[j]);
    const auto kept = static_cast<std::int64_t>(one.rows.size());
    // Dropping rows costs a scatter. Forward it gains nothing unless a whole vector goes; backward
    // rows are the height of dU and the depth of dV.
    const bool fewer_vectors = round_up(kept, lanes) < plan.padded_filters;
    const bool compact = fewer_vectors || (pass == Pass::backward && 2 * kept <= problem.filters);
    if (compact) position.rows = one.rows;
    position.count = compact ? kept : problem.filters;
    position.padded = round_up(position.count, lanes);
    pack_position(plan, U, pass == Pass::backward, one.rows, position);
    floats += plan.padded_channels + position.padded;
    plan.positions.push_back(std::move(position));
  }
  plan.block = std::clamp<std::int64_t>(
      kBlockBytes / static_cast<std::int64_t>(sizeof(float)) / std::max<std::int64_t>(floats, 1), 24, 512);
}

}  // namespace wins::training
