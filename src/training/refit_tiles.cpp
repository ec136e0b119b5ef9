#include "refit_tiles.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

namespace wins::training {
namespace {

at::Tensor to_index(const std::vector<std::int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

/// V[(i,j)] = sum over (y, x) of B[y,i] B[x,j] d[y,x] as a matrix [p*p, alive].
at::Tensor input_transform(const winograd::Algorithm& F, const std::vector<std::int64_t>& alive) {
  const int p = F.p();
  at::Tensor matrix = at::zeros({p * p, static_cast<std::int64_t>(alive.size())}, at::kDouble);
  auto values = matrix.accessor<double, 2>();
  for (std::size_t a = 0; a < alive.size(); ++a) {
    const int i = static_cast<int>(alive[a]) / p, j = static_cast<int>(alive[a]) % p;
    for (int y = 0; y < p; ++y) {
      for (int x = 0; x < p; ++x) values[y * p + x][static_cast<std::int64_t>(a)] = F.B(y, i) * F.B(x, j);
    }
  }
  return matrix.to(at::kFloat);
}

}  // namespace

TileSampler::TileSampler(const refit::LinearLayer& layer, at::IntArrayRef output, std::int64_t pictures,
                         std::int64_t limit, std::uint64_t seed, at::Device device)
    : layer_(layer) {
  const std::int64_t H = output.size() > 2 ? output[2] : 1, W = output.size() > 3 ? output[3] : 1;
  const winograd::TileGrid grid = winograd::tile_grid(layer.m, H, W);
  grid_rows_ = grid.rows;
  grid_cols_ = grid.cols;
  each_ = std::clamp<std::int64_t>((limit + pictures - 1) / pictures, 1, grid.count());
  std::vector<std::int64_t> order(static_cast<std::size_t>(grid.count()));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);
  for (std::size_t i = 0; i < static_cast<std::size_t>(each_) && each_ < grid.count(); ++i)
    std::swap(order[i], order[i + random() % (order.size() - i)]);
  std::sort(order.begin(), order.begin() + each_);
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> classes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(each_); ++i) {
    const std::int64_t row = order[i] / grid.cols * layer.m, col = order[i] % grid.cols * layer.m;
    classes[{std::min<std::int64_t>(layer.m, H - row), std::min<std::int64_t>(layer.m, W - col)}].push_back(order[i]);
  }
  for (const auto& [inside, tiles] : classes) sets_.push_back({inside.first, inside.second, to_index(tiles, device)});

  for (int xi = 0; xi < layer.positions; ++xi) {
    if (layer.alive(xi)) alive_.push_back(xi);
  }
  alive_index_ = to_index(alive_, device);
  if (layer.algorithm != nullptr) transform_ = input_transform(*layer.algorithm, alive_).to(device);
  Aw_ = at::tensor(layer.Aw, at::kDouble).reshape({layer.positions, layer.m * layer.m}).to(device).index_select(0, alive_index_);
}

at::Tensor TileSampler::features(const at::Tensor& x, const TileSet& set) const {
  const std::int64_t N = x.size(0), C = layer_.C, L = static_cast<std::int64_t>(alive_.size());
  if (x.dim() == 2) return x.t().unsqueeze(0).contiguous();
  const std::int64_t H = x.size(2), W = x.size(3), m = layer_.m;
  if (layer_.algorithm != nullptr) {
    const std::int64_t p = layer_.algorithm->p();
    const std::int64_t bottom = grid_rows_ * m + p - m - H - layer_.pads[0];
    const std::int64_t right = grid_cols_ * m + p - m - W - layer_.pads[1];
    const at::Tensor patches = at::constant_pad_nd(x, {layer_.pads[1], right, layer_.pads[0], bottom})
                                   .unfold(2, p, m)
                                   .unfold(3, p, m)
                                   .reshape({N, C, grid_rows_ * grid_cols_, p * p})
                                   .index_select(2, set.index);
    return at::matmul(patches, transform_).permute({3, 1, 0, 2}).reshape({L, C, -1});
  }
  const at::Tensor padded =
      at::constant_pad_nd(x, {layer_.pads[1], layer_.pads[3], layer_.pads[0], layer_.pads[2]}).contiguous();
  const at::Tensor taps = at::im2col(padded, layer_.kernel, layer_.dilation, {0, 0}, layer_.stride);
  return taps.reshape({N, C, layer_.positions, -1})
      .index_select(3, set.index)
      .permute({2, 1, 0, 3})
      .reshape({layer_.positions, C, -1});
}

at::Tensor TileSampler::pixels(const at::Tensor& y, const TileSet& set) const {
  const std::int64_t N = y.size(0), K = y.size(1), m = layer_.m;
  const at::Tensor image = y.dim() == 2 ? y.reshape({N, K, 1, 1}) : y;
  const std::int64_t bottom = grid_rows_ * m - image.size(2), right = grid_cols_ * m - image.size(3);
  return at::constant_pad_nd(image, {0, right, 0, bottom})
      .reshape({N, K, grid_rows_, m, grid_cols_, m})
      .permute({3, 5, 1, 0, 2, 4})
      .reshape({m * m, K, N, grid_rows_ * grid_cols_})
      .index_select(3, set.index)
      .reshape({m * m, K, -1});
}

at::Tensor TileSampler::spread(const TileSet& set) const {
  std::vector<double> inside;
  for (std::int64_t a = 0; a < layer_.m * layer_.m; ++a)
    inside.push_back(a / layer_.m < set.rows && a % layer_.m < set.cols ? 1.0 : 0.0);
  return Aw_ * at::tensor(inside, at::kDouble).to(Aw_.device());
}

}  // namespace wins::training
