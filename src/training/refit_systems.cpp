#include "refit_systems.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "tensors.hpp"

namespace wins::training {

RefitSystems::RefitSystems(const refit::LinearLayer& layer, const TileSampler& tiles, at::Device device)
    : layer_(layer), tiles_(tiles), device_(device), L_(static_cast<std::int64_t>(tiles.alive().size())),
      alive_(at::tensor(tiles.alive(), at::kLong).to(device)) {
  const winograd::Mask& mask = layer.mask;
  const bool rows = mask.axis == winograd::Axis::row, columns = mask.axis == winograd::Axis::column;
  const std::vector<float> keep(mask.keep.begin(), mask.keep.end());
  keep_ = pack(at::tensor(keep)
                   .view({layer.positions, columns ? 1 : layer.K, rows ? 1 : layer.C})
                   .to(device)
                   .expand({layer.positions, layer.K, layer.C}));
  old_ = pack(to_torch(layer.weights, device));
}

/// [positions, K, C] to [K, L*C].
at::Tensor RefitSystems::pack(const at::Tensor& weights) const {
  return weights.index_select(0, alive_).permute({1, 0, 2}).reshape({layer_.K, L_ * layer_.C});
}

at::Tensor RefitSystems::planes(const at::Tensor& weights) const {
  const at::Tensor all = at::zeros({layer_.positions, layer_.K, layer_.C}, weights.options());
  return all.index_copy(0, alive_, weights.reshape({layer_.K, L_, layer_.C}).permute({1, 0, 2}));
}

void RefitSystems::gather(const std::vector<at::Tensor>& input, const SampledTargets& targets) {
  const std::int64_t C = layer_.C, n = L_ * C;
  const at::TensorOptions single = at::TensorOptions().dtype(at::kFloat).device(device_);
  H_ = at::zeros({n, n}, single);
  mean_ = at::zeros({n}, single.dtype(at::kDouble));
  pixels_ = 0;
  for (const TileSet& set : tiles_.sets()) {
    const at::Tensor spread = tiles_.spread(set);
    at::Tensor products = at::zeros({n, n}, single), sums = at::zeros({n}, mean_.options());
    for (std::size_t b = 0; b < input.size(); ++b) {
      const at::Tensor V = tiles_.features(input[b], set.tiles[b]).permute({1, 0, 2}).reshape({-1, n});
      products.addmm_(V.t(), V);
      sums += V.sum(0, false, at::kDouble);
      pixels_ += static_cast<double>(V.size(0) * set.rows * set.cols);
    }
    const at::Tensor weight = at::mm(spread, spread.t()).to(at::kFloat).reshape({L_, 1, L_, 1});
    H_ += (products.reshape({L_, C, L_, C}) * weight).reshape({n, n});
    mean_ += (sums.reshape({L_, C}) * spread.sum(1, true)).reshape({n});
  }
  H_ /= pixels_;
  mean_ /= pixels_;
  const at::Tensor mean = mean_.to(at::kFloat);
  H_.addr_(mean, mean, 1, -1);
  regather_targets(input, targets);
}

void RefitSystems::regather_targets(const std::vector<at::Tensor>& input, const SampledTargets& targets) {
  const std::int64_t C = layer_.C, K = layer_.K;
  rhs_ = at::zeros({K, L_, C}, H_.options());
  target_mean_ = at::zeros({K}, mean_.options());
  for (std::size_t i = 0; i < tiles_.sets().size(); ++i) {
    const TileSet& set = tiles_.sets()[i];
    const at::Tensor spread = tiles_.spread(set).to(at::kFloat);
    for (std::size_t b = 0; b < input.size(); ++b) {
      const at::Tensor V = tiles_.features(input[b], set.tiles[b]);
      const at::Tensor& y = targets[i][b];
      // The outputs spread over the positions: [L, T, K].
      const at::Tensor z = at::mm(spread, y.reshape({y.size(0), -1})).reshape({L_, -1, K});
      rhs_ += at::bmm(z.transpose(1, 2), V).permute({1, 0, 2});
      target_mean_ += y.sum(at::IntArrayRef({0, 1}), false, at::kDouble);
    }
  }
  target_mean_ /= pixels_;
  rhs_ = (rhs_ / pixels_).reshape({K, L_ * C});
  rhs_.addr_(target_mean_.to(at::kFloat), mean_.to(at::kFloat), 1, -1);
}

bool RefitSystems::prepare(double ridge) {
  const std::int64_t C = layer_.C;
  rho_ = L_ == 0 ? 0 : ridge * H_.diagonal().clamp_min(0).mean().item<double>();
  if (!(rho_ > 0) || !std::isfinite(rho_)) return false;
  if (layer_.block > 0) return invert_column_blocks();
  if (layer_.mask.axis != winograd::Axis::row) {
    inverse_ = (H_.diagonal() + rho_).reciprocal();
    return true;
  }
  const at::Tensor blocks = H_.reshape({L_, C, L_, C}).diagonal(0, 0, 2).permute({2, 0, 1}).to(at::kDouble);
  const auto [factor, info] = at::linalg_cholesky_ex(blocks + rho_ * at::eye(C, blocks.options()));
  if (info.any().item<bool>()) return false;
  inverse_ = at::cholesky_inverse(factor).to(at::kFloat);
  return true;
}

/// The exact inverse for each block of rows, which share their kept columns: one iteration settles them.
bool RefitSystems::invert_column_blocks() {
  column_blocks_.clear();
  for (std::int64_t first = 0; first < layer_.K; first += layer_.block) {
    const std::int64_t rows = std::min(layer_.block, layer_.K - first);
    const at::Tensor columns = keep_[first].nonzero().reshape({-1});
    at::Tensor part = H_.index_select(0, columns).index_select(1, columns).to(at::kDouble);
    part.diagonal().add_(rho_);
    const auto [factor, info] = at::linalg_cholesky_ex(part);
    if (info.any().item<bool>()) return false;
    column_blocks_.push_back({first, rows, columns, at::cholesky_inverse(factor).to(at::kFloat)});
  }
  return true;
}

at::Tensor RefitSystems::precondition(const at::Tensor& residual) const {
  if (layer_.block > 0) {
    at::Tensor result = at::zeros_like(residual);
    for (const ColumnBlock& block : column_blocks_) {
      const at::Tensor part = residual.narrow(0, block.first, block.rows).index_select(1, block.columns);
      result.narrow(0, block.first, block.rows).index_copy_(1, block.columns, at::mm(part, block.inverse));
    }
    return result;
  }
  if (layer_.mask.axis != winograd::Axis::row) return residual * inverse_;
  return at::bmm(residual.reshape({layer_.K, L_, layer_.C}).transpose(0, 1), inverse_)
             .transpose(0, 1)
             .reshape(residual.sizes()) *
         keep_;
}

at::Tensor RefitSystems::apply(const at::Tensor& x) const {
  return (at::mm(x, H_) + x * rho_) * keep_;
}

int RefitSystems::improve(at::Tensor& weights, int max_iterations, double tolerance) const {
  const auto dot = [](const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(1, true, at::kDouble); };
  const at::Tensor first = (rhs_ + old_ * rho_) * keep_ - apply(weights);
  at::Tensor residual = first, delta = at::zeros_like(first);
  at::Tensor direction = precondition(residual);
  at::Tensor energy = dot(residual, direction);
  const at::Tensor enough = energy * (tolerance * tolerance);
  const at::Tensor none = at::zeros_like(energy);
  int iteration = 0;
  for (; iteration < max_iterations; ++iteration) {
    const at::Tensor image = apply(direction);
    const at::Tensor curvature = dot(direction, image);
    const at::Tensor open = at::logical_and(energy > enough, curvature > 0);
    if (!open.any().item<bool>()) break;
    const at::Tensor step = at::where(open, energy / curvature, none).to(at::kFloat);
    delta = delta + step * direction;
    residual = residual - step * image;
    const at::Tensor z = precondition(residual);
    const at::Tensor next = dot(residual, z);
    direction = z + at::where(open, next / energy, none).to(at::kFloat) * direction;
    energy = next;
  }
  // Channels whose objective falls: d (H + rho) d - 2 d b < 0.
  const at::Tensor better = dot(delta, apply(delta)) - 2 * dot(delta, first) < 0;
  weights = at::where(better, weights + delta, weights);
  return iteration;
}

at::Tensor RefitSystems::mean_error(const at::Tensor& weights) const {
  return target_mean_ - at::mv(weights.to(at::kDouble), mean_);
}

}  // namespace wins::training
