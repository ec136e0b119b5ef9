#include "solver.hpp"

#include <algorithm>
#include <cmath>

#include "blas.hpp"
#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

/// A stack of kept rows for each position: rows[xi] lists the output channels, values[xi] is rows x C.
struct Rows {
  std::vector<std::vector<float>> values;
};

}  // namespace

class Solver::Systems {
 public:
  Systems(const LinearLayer& layer, const Moments& moments, double ridge, int threads)
      : layer_(layer), moments_(moments), rho_(ridge * moments.mean_diagonal(layer.mask)), threads_(threads) {
    rows_.resize(static_cast<std::size_t>(layer.positions));
    for (int xi = 0; xi < layer.positions; ++xi) {
      for (std::int64_t k = 0; k < layer.K; ++k) {
        if (any_kept(xi, k)) rows_[static_cast<std::size_t>(xi)].push_back(k);
      }
    }
  }

  /// Call once, before `improve`.
  bool prepare() { return rho_ > 0 && std::isfinite(rho_) && invert_blocks(); }

  int improve(Tensor& weights, int max_iterations, double tolerance) const {
    const Rows first = residual_of(pack(weights.data<float>().data()));
    Rows residual = first;
    Rows delta = zeros();
    const int iterations = conjugate_gradients(residual, delta, max_iterations, tolerance);
    unpack(delta, improved(first, delta), weights);
    return iterations;
  }

 private:
  bool any_kept(int xi, std::int64_t k) const {
    const winograd::Mask& mask = layer_.mask;
    if (mask.axis == winograd::Axis::row) return mask.kept(xi, k);
    for (std::int64_t c = 0; c < layer_.C; ++c) {
      if (mask.weight_kept(xi, k, c)) return true;
    }
    return false;
  }

  const std::vector<std::int64_t>& rows(int xi) const { return rows_[static_cast<std::size_t>(xi)]; }
  std::int64_t count(int xi) const { return static_cast<std::int64_t>(rows(xi).size()); }

  Rows zeros() const {
    Rows result;
    for (int xi = 0; xi < layer_.positions; ++xi) {
      result.values.emplace_back(static_cast<std::size_t>(count(xi) * layer_.C), 0.0F);
    }
    return result;
  }

  Rows pack(const float* full) const {
    Rows result = zeros();
    for (int xi = 0; xi < layer_.positions; ++xi) {
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const float* from = full + (xi * layer_.K + rows(xi)[static_cast<std::size_t>(i)]) * layer_.C;
        std::copy_n(from, layer_.C, result.values[static_cast<std::size_t>(xi)].data() + i * layer_.C);
      }
    }
    mask(result);
    return result;
  }

  /// Units that are not whole rows: single weights and columns stay zero.
  void mask(Rows& x) const {
    if (layer_.mask.axis == winograd::Axis::row) return;
    for (int xi = 0; xi < layer_.positions; ++xi) {
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const std::int64_t k = rows(xi)[static_cast<std::size_t>(i)];
        for (std::int64_t c = 0; c < layer_.C; ++c) {
          if (!layer_.mask.weight_kept(xi, k, c))
            x.values[static_cast<std::size_t>(xi)][static_cast<std::size_t>(i * layer_.C + c)] = 0;
        }
      }
    }
  }

  bool invert_blocks() {
    inverse_.assign(static_cast<std::size_t>(layer_.positions), {});
    std::vector<char> good(static_cast<std::size_t>(layer_.positions), 1);
    const std::int64_t C = layer_.C;
    parallel_tasks(layer_.positions, threads_, [&](std::int64_t position, int) {
      const auto xi = static_cast<std::size_t>(position);
      if (rows_[xi].empty()) return;
      const float* block = moments_.block(static_cast<int>(xi), static_cast<int>(xi));
      const double* mean = moments_.mean().data() + position * C;
      std::vector<double> matrix(static_cast<std::size_t>(C * C));
      for (std::int64_t r = 0; r < C; ++r) {
        for (std::int64_t c = 0; c < C; ++c) {
          matrix[static_cast<std::size_t>(r * C + c)] =
              static_cast<double>(block[r * C + c]) - mean[r] * mean[c] + (r == c ? rho_ : 0);
        }
      }
      // Single weights and columns: the block's diagonal alone, which any subset of it shares.
      if (layer_.mask.axis != winograd::Axis::row) {
        inverse_[xi].resize(static_cast<std::size_t>(C));
        for (std::int64_t c = 0; c < C; ++c) {
          inverse_[xi][static_cast<std::size_t>(c)] =
              static_cast<float>(1 / matrix[static_cast<std::size_t>(c * C + c)]);
        }
        return;
      }
      good[xi] = invert_spd(C, matrix) ? 1 : 0;
      inverse_[xi].assign(matrix.begin(), matrix.end());
    });
    return std::all_of(good.begin(), good.end(), [](char g) { return g != 0; });
  }

  Rows precondition(const Rows& x) const {
    Rows result = zeros();
    const std::int64_t C = layer_.C;
    parallel_tasks(layer_.positions, threads_, [&](std::int64_t position, int) {
      const auto xi = static_cast<std::size_t>(position);
      const std::int64_t n = count(static_cast<int>(xi));
      if (layer_.mask.axis == winograd::Axis::row) {
        multiply(n, C, x.values[xi].data(), inverse_[xi].data(), false, result.values[xi].data());
        return;
      }
      for (std::int64_t i = 0; i < n * C; ++i) {
        result.values[xi][static_cast<std::size_t>(i)] =
            x.values[xi][static_cast<std::size_t>(i)] * inverse_[xi][static_cast<std::size_t>(i % C)];
      }
    });
    return result;
  }

  /// mean . x_k for each output channel.
  std::vector<double> project(const Rows& x) const {
    std::vector<double> sums(static_cast<std::size_t>(layer_.K), 0.0);
    for (int xi = 0; xi < layer_.positions; ++xi) {
      const double* mean = moments_.mean().data() + xi * layer_.C;
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const float* row = x.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        double sum = 0;
        for (std::int64_t c = 0; c < layer_.C; ++c) sum += mean[c] * static_cast<double>(row[c]);
        sums[static_cast<std::size_t>(rows(xi)[static_cast<std::size_t>(i)])] += sum;
      }
    }
    return sums;
  }

  /// H x on the kept weights, centred, plus `rho` x.
  Rows apply(const Rows& x, double rho) const {
    const std::vector<double> along_mean = project(x);
    Rows result = zeros();
    parallel_tasks(layer_.positions, threads_, [&](std::int64_t position, int) {
      const int xi = static_cast<int>(position);
      for (int other = 0; other < layer_.positions; ++other) add_block_product(xi, other, x, result);
      add_rank_one(xi, along_mean, rho, x, result);
    });
    mask(result);
    return result;
  }

  /// result[xi] += x[other] H[other, xi], for the channels that keep both positions.
  void add_block_product(int xi, int other, const Rows& x, Rows& result) const {
    const bool upper = other <= xi;
    const float* block = upper ? moments_.block(other, xi) : moments_.block(xi, other);
    if (block == nullptr) return;
    const std::int64_t C = layer_.C;
    auto& to = result.values[static_cast<std::size_t>(xi)];
    const auto& from = x.values[static_cast<std::size_t>(other)];
    if (rows(xi) == rows(other)) {
      multiply(count(xi), C, from.data(), block, !upper, to.data());
      return;
    }
    std::vector<std::int64_t> target;
    std::vector<float> gathered;
    std::size_t j = 0;
    for (std::size_t i = 0; i < rows(xi).size(); ++i) {
      while (j < rows(other).size() && rows(other)[j] < rows(xi)[i]) ++j;
      if (j == rows(other).size() || rows(other)[j] != rows(xi)[i]) continue;
      target.push_back(static_cast<std::int64_t>(i));
      const float* row = from.data() + static_cast<std::int64_t>(j) * C;
      gathered.insert(gathered.end(), row, row + C);
    }
    std::vector<float> product(gathered.size(), 0.0F);
    multiply(static_cast<std::int64_t>(target.size()), C, gathered.data(), block, !upper, product.data());
    for (std::size_t i = 0; i < target.size(); ++i) {
      float* row = to.data() + target[i] * C;
      const float* add = product.data() + static_cast<std::int64_t>(i) * C;
      for (std::int64_t c = 0; c < C; ++c) row[c] += add[c];
    }
  }

  void add_rank_one(int xi, const std::vector<double>& along_mean, double rho, const Rows& x,
                    Rows& result) const {
    const double* mean = moments_.mean().data() + xi * layer_.C;
    for (std::int64_t i = 0; i < count(xi); ++i) {
      const double s = along_mean[static_cast<std::size_t>(rows(xi)[static_cast<std::size_t>(i)])];
      float* row = result.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
      const float* own = x.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
      for (std::int64_t c = 0; c < layer_.C; ++c) {
        row[c] += static_cast<float>(rho * static_cast<double>(own[c]) - s * mean[c]);
      }
    }
  }

  /// E[phi y] centred, less H u and rho (u - old).
  Rows residual_of(const Rows& u) const {
    Rows b = pack(moments_.rhs().data());
    const Rows old = pack(layer_.weights.data<float>().data());
    const Rows product = apply(u, rho_);
    for (int xi = 0; xi < layer_.positions; ++xi) {
      const double* mean = moments_.mean().data() + xi * layer_.C;
      const auto position = static_cast<std::size_t>(xi);
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const double y =
            moments_.target_mean()[static_cast<std::size_t>(rows(xi)[static_cast<std::size_t>(i)])];
        for (std::int64_t c = 0; c < layer_.C; ++c) {
          const auto at = static_cast<std::size_t>(i * layer_.C + c);
          float& value = b.values[position][at];
          value = static_cast<float>(static_cast<double>(value) - mean[c] * y +
                                     rho_ * static_cast<double>(old.values[position][at]) -
                                     static_cast<double>(product.values[position][at]));
        }
      }
    }
    mask(b);
    return b;
  }

  /// a_k . b_k for each output channel, in double.
  std::vector<double> dots(const Rows& a, const Rows& b) const {
    std::vector<double> sums(static_cast<std::size_t>(layer_.K), 0.0);
    for (int xi = 0; xi < layer_.positions; ++xi) {
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const float* p = a.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        const float* q = b.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        double sum = 0;
        for (std::int64_t c = 0; c < layer_.C; ++c)
          sum += static_cast<double>(p[c]) * static_cast<double>(q[c]);
        sums[static_cast<std::size_t>(rows(xi)[static_cast<std::size_t>(i)])] += sum;
      }
    }
    return sums;
  }

  /// y_k = a y_k + factor_k x_k.
  void combine(double a, Rows& y, const std::vector<double>& factors, double sign, const Rows& x) const {
    for (int xi = 0; xi < layer_.positions; ++xi) {
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const double f = sign * factors[static_cast<std::size_t>(rows(xi)[static_cast<std::size_t>(i)])];
        float* to = y.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        const float* from = x.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        for (std::int64_t c = 0; c < layer_.C; ++c) {
          to[c] = static_cast<float>(a * static_cast<double>(to[c]) + f * static_cast<double>(from[c]));
        }
      }
    }
  }

  /// One system for each output channel, all in step.
  int conjugate_gradients(Rows& residual, Rows& delta, int max_iterations, double tolerance) const {
    Rows z = precondition(residual);
    Rows direction = z;
    std::vector<double> energy = dots(residual, z);
    const std::vector<double> first = energy;
    for (int iteration = 0; iteration < max_iterations; ++iteration) {
      const Rows image = apply(direction, rho_);
      const std::vector<double> curvature = dots(direction, image);
      std::vector<double> step(energy.size(), 0.0);
      bool moving = false;
      for (std::size_t k = 0; k < step.size(); ++k) {
        const bool open = energy[k] > tolerance * tolerance * first[k] && curvature[k] > 0;
        if (open) step[k] = energy[k] / curvature[k];
        moving = moving || open;
      }
      if (!moving) return iteration;
      combine(1, delta, step, 1, direction);
      combine(1, residual, step, -1, image);
      z = precondition(residual);
      const std::vector<double> next = dots(residual, z);
      // direction = z + beta direction
      std::vector<double> beta(energy.size(), 0.0);
      for (std::size_t k = 0; k < beta.size(); ++k)
        beta[k] = step[k] != 0 && energy[k] > 0 ? next[k] / energy[k] : 0;
      Rows turned = z;
      combine(1, turned, beta, 1, direction);
      direction = std::move(turned);
      energy = next;
    }
    return max_iterations;
  }

  /// Channels whose objective falls: d (H + rho) d - 2 d b < 0.
  std::vector<char> improved(const Rows& b, const Rows& delta) const {
    const std::vector<double> quadratic = dots(delta, apply(delta, rho_));
    const std::vector<double> linear = dots(delta, b);
    std::vector<char> better(quadratic.size(), 0);
    for (std::size_t k = 0; k < better.size(); ++k) better[k] = quadratic[k] - 2 * linear[k] < 0 ? 1 : 0;
    return better;
  }

  void unpack(const Rows& delta, const std::vector<char>& better, Tensor& weights) const {
    const auto w = weights.mutable_data<float>();
    for (int xi = 0; xi < layer_.positions; ++xi) {
      for (std::int64_t i = 0; i < count(xi); ++i) {
        const std::int64_t k = rows(xi)[static_cast<std::size_t>(i)];
        if (better[static_cast<std::size_t>(k)] == 0) continue;
        const float* row = delta.values[static_cast<std::size_t>(xi)].data() + i * layer_.C;
        float* to = w.data() + (xi * layer_.K + k) * layer_.C;
        for (std::int64_t c = 0; c < layer_.C; ++c) to[c] += row[c];
      }
    }
  }

  const LinearLayer& layer_;
  const Moments& moments_;
  const double rho_;
  const int threads_;
  std::vector<std::vector<std::int64_t>> rows_;  ///< kept output channels of each position
  std::vector<std::vector<float>> inverse_;  ///< of each position's block; the diagonal's for single weights
};

Solver::Solver(const LinearLayer& layer, const Moments& moments, double ridge, int threads) {
  if (layer.block > 0) {
    columns_ = std::make_unique<ColumnSolver>(layer, moments, ridge, threads);
    return;
  }
  systems_ = std::make_unique<Systems>(layer, moments, ridge, threads);
  if (!systems_->prepare()) systems_.reset();
}
Solver::~Solver() = default;

bool Solver::ready() const {
  return columns_ != nullptr ? columns_->ready() : systems_ != nullptr;
}

int Solver::improve(Tensor& weights, int max_iterations, double tolerance) const {
  return columns_ != nullptr ? columns_->solve(weights) : systems_->improve(weights, max_iterations, tolerance);
}

}  // namespace wins::refit
