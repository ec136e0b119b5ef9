#include "refit_tiles.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "wins/refit/sample.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::training {
namespace {

/// V[(i,j)] = sum over (y, x) of B[y,i] B[x,j] d[y,x] as a matrix [alive, p*p].
at::Tensor input_transform(const winograd::Algorithm& F, const std::vector<std::int64_t>& alive) {
  const int p = F.p();
  at::Tensor matrix = at::zeros({static_cast<std::int64_t>(alive.size()), p * p}, at::kDouble);
  auto values = matrix.accessor<double, 2>();
  for (std::size_t a = 0; a < alive.size(); ++a) {
    const int i = static_cast<int>(alive[a]) / p, j = static_cast<int>(alive[a]) % p;
    for (int y = 0; y < p; ++y) {
      for (int x = 0; x < p; ++x) values[static_cast<std::int64_t>(a)][y * p + x] = F.B(y, i) * F.B(x, j);
    }
  }
  return matrix.to(at::kFloat);
}

std::vector<TileSet> to_sets(const std::vector<refit::TileClass>& classes, std::size_t batches, at::Device device) {
  std::vector<TileSet> sets;
  for (const refit::TileClass& tiles : classes) {
    std::vector<std::vector<std::int64_t>> picture(batches), row(batches), col(batches);
    for (const refit::Tile& tile : tiles.tiles) {
      const auto b = static_cast<std::size_t>(tile.batch);
      picture[b].push_back(tile.picture);
      row[b].push_back(tile.row);
      col[b].push_back(tile.col);
    }
    TileSet set{tiles.rows, tiles.cols, {}};
    for (std::size_t b = 0; b < batches; ++b) {
      const auto tensor = [](const std::vector<std::int64_t>& values) { return at::tensor(values, at::kLong); };
      set.tiles.push_back(at::stack({tensor(picture[b]), tensor(row[b]), tensor(col[b])}).to(device));
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

/// Pixels as rows of channels, [N*H*W, C], and where to find them.
struct Pixels {
  Pixels(const at::Tensor& x, at::IntArrayRef pad) {
    const at::Tensor image = x.dim() == 2 ? x.reshape({x.size(0), x.size(1), 1, 1}) : x;
    const bool any = std::any_of(pad.begin(), pad.end(), [](std::int64_t n) { return n != 0; });
    const at::Tensor padded = any ? at::constant_pad_nd(image, pad) : image;
    H = padded.size(2), W = padded.size(3);
    rows = padded.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
  }
  /// Windows of h x w pixels whose first pixels are at `row`, `col` of `picture` ([T] each): [h*w, T, C].
  at::Tensor windows(const at::Tensor& picture, const at::Tensor& row, const at::Tensor& col,
                     std::array<std::int64_t, 2> size, std::array<std::int64_t, 2> dilation) const {
    const at::TensorOptions options = picture.options();
    const at::Tensor offsets = (at::arange(size[0], options) * (dilation[0] * W)).unsqueeze(1) +
                               at::arange(size[1], options) * dilation[1];
    const at::Tensor corners = (picture * H + row) * W + col;
    const at::Tensor index = offsets.reshape({-1, 1}) + corners;
    return rows.index_select(0, index.reshape({-1})).reshape({index.size(0), index.size(1), rows.size(1)});
  }
  at::Tensor rows;
  std::int64_t H, W;
};

}  // namespace

TileSampler::TileSampler(const refit::LinearLayer& layer, at::IntArrayRef output, std::size_t batches,
                         std::int64_t limit, std::uint64_t seed, at::Device device)
    : layer_(layer), device_(device) {
  const winograd::TileGrid grid =
      winograd::tile_grid(layer.m, output.size() > 2 ? output[2] : 1, output.size() > 3 ? output[3] : 1);
  grid_rows_ = grid.rows;
  grid_cols_ = grid.cols;
  const std::vector<refit::TileClass> classes = refit::sample_tiles(layer, output.vec(), batches, limit, seed);
  for (const refit::TileClass& tiles : classes) count_ += static_cast<std::int64_t>(tiles.tiles.size());
  sets_ = to_sets(classes, batches, device);
  for (int xi = 0; xi < layer.positions; ++xi) {
    if (layer.alive(xi)) alive_.push_back(xi);
  }
  if (layer.algorithm != nullptr) transform_ = input_transform(*layer.algorithm, alive_).to(device);
  Aw_ = at::tensor(layer.Aw, at::kDouble)
            .reshape({layer.positions, layer.m * layer.m})
            .index_select(0, at::tensor(alive_, at::kLong))
            .to(device);
}

at::Tensor TileSampler::features(const at::Tensor& x, const at::Tensor& tiles) const {
  const at::Tensor picture = tiles[0], row = tiles[1], col = tiles[2];
  if (layer_.algorithm == nullptr) {
    const Pixels pixels(x, {layer_.pads[1], layer_.pads[3], layer_.pads[0], layer_.pads[2]});
    return pixels.windows(picture, row * layer_.stride[0], col * layer_.stride[1], layer_.kernel, layer_.dilation);
  }
  const std::int64_t p = layer_.algorithm->p(), step = layer_.algorithm->step(), s = layer_.algorithm->stride;
  const std::int64_t bottom = (grid_rows_ - 1) * step + p - x.size(2) - layer_.pads[0];
  const std::int64_t right = (grid_cols_ - 1) * step + p - x.size(3) - layer_.pads[1];
  const Pixels pixels(x, {layer_.pads[1], right, layer_.pads[0], bottom});
  const at::Tensor patches = pixels.windows(picture, row * s, col * s, {p, p}, {1, 1});
  return at::mm(transform_, patches.reshape({p * p, -1})).reshape({-1, patches.size(1), layer_.C});
}

at::Tensor TileSampler::pixels(const at::Tensor& y, const at::Tensor& tiles) const {
  const std::int64_t m = layer_.m, H = y.dim() == 2 ? 1 : y.size(2), W = y.dim() == 2 ? 1 : y.size(3);
  const Pixels pixels(y, {0, grid_cols_ * m - W, 0, grid_rows_ * m - H});
  return pixels.windows(tiles[0], tiles[1], tiles[2], {m, m}, {1, 1});
}

at::Tensor TileSampler::inside(const TileSet& set) const {
  std::vector<double> inside;
  for (std::int64_t a = 0; a < layer_.m * layer_.m; ++a)
    inside.push_back(a / layer_.m < set.rows && a % layer_.m < set.cols ? 1.0 : 0.0);
  return at::tensor(inside, at::kDouble).to(device_);
}

at::Tensor TileSampler::spread(const TileSet& set) const {
  return Aw_ * inside(set);
}

}  // namespace wins::training
