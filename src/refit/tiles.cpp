#include "tiles.hpp"

#include "wins/base/parallel.hpp"

namespace wins::refit {
namespace {

constexpr int kMaxPatch = 10 * 10;  // p <= 10, see winograd::algorithm

/// Extents as [N, channels, H, W]; a matrix [N, channels] has one pixel.
struct Plane {
  std::int64_t channels, H, W;
  explicit Plane(const Tensor& t)
      : channels(t.dim(1)), H(t.rank() > 2 ? t.dim(2) : 1), W(t.rank() > 2 ? t.dim(3) : 1) {}
  const float* of(const Tensor& t, std::int64_t picture, std::int64_t channel) const {
    return t.data<float>().data() + (picture * channels + channel) * H * W;
  }
};

/// B as a flat pair of loops: V = B^T d B for one patch.
void transform_patch(const winograd::Algorithm& F, const float* d, float* v) {
  const int p = F.p();
  const double* B = F.B.values.data();
  double half[kMaxPatch];
  for (int i = 0; i < p; ++i) {
    for (int x = 0; x < p; ++x) {
      double sum = 0;
      for (int y = 0; y < p; ++y) sum += B[y * p + i] * static_cast<double>(d[y * p + x]);
      half[i * p + x] = sum;
    }
  }
  for (int i = 0; i < p; ++i) {
    for (int j = 0; j < p; ++j) {
      double sum = 0;
      for (int x = 0; x < p; ++x) sum += half[i * p + x] * B[x * p + j];
      v[i * p + j] = static_cast<float>(sum);
    }
  }
}

/// The pixels under one tile: a p x p patch, or the kernel's taps.
void cut(const LinearLayer& layer, const Plane& plane, const float* pixels, const Tile& tile, float* d) {
  const bool winograd = layer.algorithm != nullptr;
  const std::int64_t rows = winograd ? layer.algorithm->p() : layer.kernel[0];
  const std::int64_t cols = winograd ? layer.algorithm->p() : layer.kernel[1];
  const std::int64_t top = tile.row * layer.stride[0] - layer.pads[0];
  const std::int64_t left = tile.col * layer.stride[1] - layer.pads[1];
  for (std::int64_t y = 0; y < rows; ++y) {
    const std::int64_t h = top + y * layer.dilation[0];
    for (std::int64_t x = 0; x < cols; ++x) {
      const std::int64_t w = left + x * layer.dilation[1];
      const bool inside = h >= 0 && h < plane.H && w >= 0 && w < plane.W;
      d[y * cols + x] = inside ? pixels[h * plane.W + w] : 0.0F;
    }
  }
}

}  // namespace

void gather_input(const LinearLayer& layer, const Activations& x, const std::vector<Tile>& tiles, int threads,
                  std::vector<float>& V) {
  const auto T = static_cast<std::int64_t>(tiles.size());
  V.resize(static_cast<std::size_t>(layer.positions * layer.C * T));
  const Plane plane(x.at(0));
  std::vector<int> alive;
  for (int xi = 0; xi < layer.positions; ++xi) {
    if (layer.alive(xi)) alive.push_back(xi);
  }
  const std::int64_t C = layer.C;
  parallel_for(C, threads, [&](std::int64_t c, int) {
    std::vector<float> d(static_cast<std::size_t>(layer.positions)), v(d.size());
    for (std::int64_t t = 0; t < T; ++t) {
      const Tile& tile = tiles[static_cast<std::size_t>(t)];
      const float* pixels = plane.of(x[static_cast<std::size_t>(tile.batch)], tile.picture, c);
      cut(layer, plane, pixels, tile, d.data());
      const float* values = d.data();
      if (layer.algorithm != nullptr) {
        transform_patch(*layer.algorithm, d.data(), v.data());
        values = v.data();
      }
      for (const int xi : alive) V[static_cast<std::size_t>((xi * C + c) * T + t)] = values[xi];
    }
  });
}

}  // namespace wins::refit
