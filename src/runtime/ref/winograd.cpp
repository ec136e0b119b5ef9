// Convolution computed where a WinogradConv defines it: V = B^T d B per tile, M[xi] = U[xi] V[xi],
// Y = A^T M A (Lavin & Gray, CVPR 2016, section 4.1; stride 2: Huang et al., AAAI 2020, section 3).
#include <algorithm>

#include "epilogue.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::ref {
namespace {

/// Tiles whose V and M one work item holds.
constexpr std::int64_t kTilesPerItem = 64;
/// p <= 10 (winograd::algorithm).
constexpr int kMaxTile = 10;

/// Everything that the work items share.
template <class T>
struct Layer {
  const winograd::Algorithm* algorithm;
  winograd::TileGrid grid;
  std::int64_t channels, filters;  // C, K
  std::int64_t height, width;      // of the input
  std::int64_t pad_top, pad_left;
  std::vector<T> A, B;  // row-major, A p x m, B p x p
  std::vector<T> U;     // [p*p, K, C], zero where pruned
};

/// out = L^T in R with L rows x a and R cols x b (row-major); in rows x cols, out a x b.
template <class T>
void sandwich(const T* in, const std::vector<T>& matrix, int p, int result, T* out) {
  T half[kMaxTile * kMaxTile] = {};  // L^T in: result x p
  for (int a = 0; a < result; ++a) {
    for (int i = 0; i < p; ++i) {
      for (int j = 0; j < p; ++j) half[a * p + j] += matrix[static_cast<std::size_t>(i * result + a)] * in[i * p + j];
    }
  }
  for (int a = 0; a < result; ++a) {
    for (int b = 0; b < result; ++b) {
      T sum = 0;
      for (int j = 0; j < p; ++j) sum += half[a * p + j] * matrix[static_cast<std::size_t>(j * result + b)];
      out[a * result + b] = sum;
    }
  }
}

/// V[xi][c][tile] of `count` tiles from tile `first` on, one image.
template <class T>
void transform_input(const Layer<T>& layer, const T* image, std::int64_t first, std::int64_t count, T* V) {
  const int p = layer.algorithm->p();
  const int step = layer.algorithm->step();
  T tile[kMaxTile * kMaxTile];
  T transformed[kMaxTile * kMaxTile];
  for (std::int64_t c = 0; c < layer.channels; ++c) {
    const T* plane = image + c * layer.height * layer.width;
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t top = (first + t) / layer.grid.cols * step - layer.pad_top;
      const std::int64_t left = (first + t) % layer.grid.cols * step - layer.pad_left;
      for (int i = 0; i < p * p; ++i) {
        const std::int64_t y = top + i / p;
        const std::int64_t x = left + i % p;
        const bool inside = y >= 0 && y < layer.height && x >= 0 && x < layer.width;
        tile[i] = inside ? plane[y * layer.width + x] : T(0);
      }
      sandwich(tile, layer.B, p, p, transformed);
      for (int xi = 0; xi < p * p; ++xi) V[(xi * layer.channels + c) * count + t] = transformed[xi];
    }
  }
}

/// M[xi][k][tile] = sum over c of U[xi][k][c] V[xi][c][tile].
template <class T>
void multiply(const Layer<T>& layer, const T* V, std::int64_t count, T* M) {
  for (std::int64_t row = 0; row < layer.algorithm->positions() * layer.filters; ++row) {
    const T* v = V + row / layer.filters * layer.channels * count;
    const T* u = layer.U.data() + row * layer.channels;
    T* out = M + row * count;
    std::fill(out, out + count, T(0));
    for (std::int64_t c = 0; c < layer.channels; ++c) {
      if (u[c] == T(0)) continue;
      for (std::int64_t t = 0; t < count; ++t) out[t] += u[c] * v[c * count + t];
    }
  }
}

/// Writes the m x m results of each tile, cropped to the output.
template <class T>
void transform_output(const Layer<T>& layer, const T* M, std::int64_t first, std::int64_t count, T* image) {
  const int p = layer.algorithm->p();
  const int m = layer.algorithm->m;
  const winograd::TileGrid& grid = layer.grid;
  T products[kMaxTile * kMaxTile];
  T pixels[kMaxTile * kMaxTile];
  for (std::int64_t k = 0; k < layer.filters; ++k) {
    for (std::int64_t t = 0; t < count; ++t) {
      for (int xi = 0; xi < p * p; ++xi) products[xi] = M[(xi * layer.filters + k) * count + t];
      sandwich(products, layer.A, p, m, pixels);
      const std::int64_t top = (first + t) / grid.cols * m;
      const std::int64_t left = (first + t) % grid.cols * m;
      for (int i = 0; i < m * m; ++i) {
        const std::int64_t y = top + i / m;
        const std::int64_t x = left + i % m;
        if (y < grid.out_h && x < grid.out_w) image[(k * grid.out_h + y) * grid.out_w + x] = pixels[i];
      }
    }
  }
}

template <class T>
Layer<T> prepare(const graph::WinogradConv& op, const Tensor& x, const Tensor& u) {
  const winograd::Algorithm& algorithm = winograd::algorithm(op.m, op.r, op.stride);
  require(u.dim(0) == algorithm.positions() && u.dim(2) == x.dim(1), "U {} does not fit F({},{}) and input {}",
          to_string(u.shape()), op.m, op.r, to_string(x.shape()));
  const winograd::Mask& mask = op.mask;
  require(mask.positions == u.dim(0) && mask.rows == u.dim(1) && mask.columns == u.dim(2) &&
              static_cast<std::int64_t>(mask.keep.size()) == mask.positions * mask.units(),
          "the mask does not fit U {}", to_string(u.shape()));
  const std::int64_t out_h = algorithm.outputs(x.dim(2) + op.pads[0] + op.pads[2]);
  const std::int64_t out_w = algorithm.outputs(x.dim(3) + op.pads[1] + op.pads[3]);
  require(out_h > 0 && out_w > 0, "kernel {0}x{0} does not fit input {1}", op.r, to_string(x.shape()));

  Layer<T> layer{&algorithm, winograd::tile_grid(op.m, out_h, out_w), x.dim(1), u.dim(1), x.dim(2), x.dim(3),
                 op.pads[0], op.pads[1], {}, {}, {}};
  layer.A.assign(algorithm.A.values.begin(), algorithm.A.values.end());
  layer.B.assign(algorithm.B.values.begin(), algorithm.B.values.end());
  const auto values = u.data<T>();
  layer.U.assign(values.begin(), values.end());
  for (std::int64_t i = 0; i < u.size(); ++i) {
    const std::int64_t k = i / layer.channels % layer.filters;
    const auto xi = static_cast<int>(i / layer.channels / layer.filters);
    if (!mask.weight_kept(xi, k, i % layer.channels)) layer.U[static_cast<std::size_t>(i)] = T(0);
  }
  return layer;
}

}  // namespace

template <class T>
Tensor winograd_conv(const graph::WinogradConv& op, const Inputs& inputs) {
  const Tensor& x = input_of_rank(inputs, 0, 4);
  const Layer<T> layer = prepare<T>(op, x, input_of_rank(inputs, 1, 3));
  Tensor y(dtype_of<T>(), {x.dim(0), layer.filters, layer.grid.out_h, layer.grid.out_w});
  const Epilogue<T> epilogue(op.activation, inputs, y.shape());
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  const std::int64_t in_image = layer.channels * layer.height * layer.width;
  const std::int64_t out_plane = layer.grid.out_h * layer.grid.out_w;
  const std::int64_t items = (layer.grid.count() + kTilesPerItem - 1) / kTilesPerItem;
  const std::int64_t positions = layer.algorithm->positions();

  parallel_for(x.dim(0) * items, default_threads(), [&](std::int64_t item, int) {
    const std::int64_t n = item / items;
    const std::int64_t first = item % items * kTilesPerItem;
    const std::int64_t count = std::min(kTilesPerItem, layer.grid.count() - first);
    std::vector<T> V(static_cast<std::size_t>(positions * layer.channels * count));
    std::vector<T> M(static_cast<std::size_t>(positions * layer.filters * count));
    transform_input(layer, source + n * in_image, first, count, V.data());
    multiply(layer, V.data(), count, M.data());
    transform_output(layer, M.data(), first, count, target + n * layer.filters * out_plane);
  });
  parallel_for(x.dim(0) * layer.filters, default_threads(), [&](std::int64_t plane, int) {
    epilogue.apply(target + plane * out_plane, plane, plane % layer.filters);
  });
  return y;
}

template Tensor winograd_conv<float>(const graph::WinogradConv&, const Inputs&);
template Tensor winograd_conv<double>(const graph::WinogradConv&, const Inputs&);

}  // namespace wins::runtime::ref
