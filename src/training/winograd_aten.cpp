// The Winograd layer's forward and backward as tensor operations: any device, any float type.
#include <ATen/ATen.h>

#include "winograd_function.hpp"

namespace wins::training {
namespace {

using winograd::Matrix;

/// Sizes of one call, all in NHWC.
struct Extents {
  std::int64_t batch, height, width, channels, filters, out_h, out_w, tile_rows, tile_cols;
  std::int64_t padded_h, padded_w;
};

Extents extents_of(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U) {
  const winograd::Algorithm& f = *layer.algorithm;
  Extents e{};
  e.batch = x.size(0);
  e.channels = x.size(1);
  e.height = x.size(2);
  e.width = x.size(3);
  e.filters = U.size(1);
  e.out_h = e.height + layer.pads[0] + layer.pads[2] - f.r + 1;
  e.out_w = e.width + layer.pads[1] + layer.pads[3] - f.r + 1;
  const winograd::TileGrid grid = winograd::tile_grid(f.m, e.out_h, e.out_w);
  e.tile_rows = grid.rows;
  e.tile_cols = grid.cols;
  e.padded_h = grid.rows * f.m + f.r - 1;
  e.padded_w = grid.cols * f.m + f.r - 1;
  return e;
}

/// sum += factor * term, where an undefined sum is zero.
void add_scaled(at::Tensor& sum, const at::Tensor& term, double factor) {
  if (factor == 0) return;
  if (!sum.defined()) {
    sum = factor == 1 ? term.clone() : term * factor;
  } else {
    sum.add_(term, factor);
  }
}

/// Every m-th element of `axis` from `first`, `count` of them.
at::Tensor strided(const at::Tensor& t, std::int64_t axis, std::int64_t first, std::int64_t count, std::int64_t m) {
  return t.slice(axis, first, first + (count - 1) * m + 1, m);
}

/// V at the live positions, [L, P, C].
at::Tensor input_transform(const WinogradLayer& layer, const at::Tensor& x, const Extents& e) {
  const winograd::Algorithm& f = *layer.algorithm;
  const int p = f.p();
  const at::Tensor padded = at::constant_pad_nd(
      x.permute({0, 2, 3, 1}), {0, 0, layer.pads[1], e.padded_w - e.width - layer.pads[1], layer.pads[0],
                                e.padded_h - e.height - layer.pads[0]});
  std::vector<at::Tensor> rows(static_cast<std::size_t>(p));
  at::Tensor v = at::empty({static_cast<std::int64_t>(layer.live.size()), e.batch, e.tile_rows, e.tile_cols,
                            e.channels}, x.options().memory_format(at::MemoryFormat::Contiguous));
  for (std::size_t l = 0; l < layer.live.size(); ++l) {
    const int i = layer.live[l].xi / p, j = layer.live[l].xi % p;
    at::Tensor& row = rows[static_cast<std::size_t>(i)];
    if (!row.defined()) {
      for (int s = 0; s < p; ++s) add_scaled(row, strided(padded, 1, s, e.tile_rows, f.m), f.B(s, i));
    }
    at::Tensor sum;
    for (int s = 0; s < p; ++s) add_scaled(sum, strided(row, 2, s, e.tile_cols, f.m), f.B(s, j));
    v.select(0, static_cast<std::int64_t>(l)).copy_(sum);
  }
  return v.view({static_cast<std::int64_t>(layer.live.size()), -1, e.channels});
}

/// dX [N, C, H, W] from dV at the live positions: the transpose of `input_transform`.
at::Tensor input_adjoint(const WinogradLayer& layer, const at::Tensor& dv, const Extents& e) {
  const winograd::Algorithm& f = *layer.algorithm;
  const int p = f.p();
  std::vector<at::Tensor> rows(static_cast<std::size_t>(p));
  for (std::size_t l = 0; l < layer.live.size(); ++l) {
    const int i = layer.live[l].xi / p, j = layer.live[l].xi % p;
    at::Tensor& row = rows[static_cast<std::size_t>(i)];
    if (!row.defined()) row = at::zeros({e.batch, e.tile_rows, e.padded_w, e.channels}, dv.options());
    const at::Tensor term =
        dv.select(0, static_cast<std::int64_t>(l)).view({e.batch, e.tile_rows, e.tile_cols, e.channels});
    for (int s = 0; s < p; ++s) {
      if (f.B(s, j) != 0) strided(row, 2, s, e.tile_cols, f.m).add_(term, f.B(s, j));
    }
  }
  at::Tensor padded = at::zeros({e.batch, e.padded_h, e.padded_w, e.channels}, dv.options());
  for (int i = 0; i < p; ++i) {
    const at::Tensor& row = rows[static_cast<std::size_t>(i)];
    for (int s = 0; s < p && row.defined(); ++s) {
      if (f.B(s, i) != 0) strided(padded, 1, s, e.tile_rows, f.m).add_(row, f.B(s, i));
    }
  }
  return padded.slice(1, layer.pads[0], layer.pads[0] + e.height)
      .slice(2, layer.pads[1], layer.pads[1] + e.width)
      .permute({0, 3, 1, 2});
}

/// Y [N, K, H', W'] from M [L, P, K].
at::Tensor output_transform(const WinogradLayer& layer, const at::Tensor& products, const Extents& e) {
  const winograd::Algorithm& f = *layer.algorithm;
  std::vector<at::Tensor> pixels(static_cast<std::size_t>(f.m * f.m));
  for (std::size_t l = 0; l < layer.live.size(); ++l) {
    const int i = layer.live[l].xi / f.p(), j = layer.live[l].xi % f.p();
    const at::Tensor term = products.select(0, static_cast<std::int64_t>(l));
    for (int a = 0; a < f.m; ++a) {
      for (int b = 0; b < f.m; ++b) {
        add_scaled(pixels[static_cast<std::size_t>(a * f.m + b)], term, f.A(i, a) * f.A(j, b));
      }
    }
  }
  for (at::Tensor& pixel : pixels) {
    if (!pixel.defined()) pixel = at::zeros({e.batch * e.tile_rows * e.tile_cols, e.filters}, products.options());
  }
  const at::Tensor tiles =
      at::stack(pixels, 1).view({e.batch, e.tile_rows, e.tile_cols, f.m, f.m, e.filters}).permute({0, 1, 3, 2, 4, 5});
  return tiles.reshape({e.batch, e.tile_rows * f.m, e.tile_cols * f.m, e.filters})
      .slice(1, 0, e.out_h)
      .slice(2, 0, e.out_w);
}

/// dM at the live positions, [L, P, K], from dY [N, K, H', W'].
at::Tensor output_adjoint(const WinogradLayer& layer, const at::Tensor& dy, const Extents& e) {
  const winograd::Algorithm& f = *layer.algorithm;
  const at::Tensor padded = at::constant_pad_nd(
      dy.permute({0, 2, 3, 1}), {0, 0, 0, e.tile_cols * f.m - e.out_w, 0, e.tile_rows * f.m - e.out_h});
  at::Tensor dm = at::zeros({static_cast<std::int64_t>(layer.live.size()), e.batch, e.tile_rows, e.tile_cols,
                             e.filters}, dy.options().memory_format(at::MemoryFormat::Contiguous));
  for (std::size_t l = 0; l < layer.live.size(); ++l) {
    const int i = layer.live[l].xi / f.p(), j = layer.live[l].xi % f.p();
    at::Tensor target = dm.select(0, static_cast<std::int64_t>(l));
    for (int a = 0; a < f.m; ++a) {
      for (int b = 0; b < f.m; ++b) {
        const double factor = f.A(i, a) * f.A(j, b);
        if (factor == 0) continue;
        target.add_(strided(strided(padded, 1, a, e.tile_rows, f.m), 2, b, e.tile_cols, f.m), factor);
      }
    }
  }
  return dm.view({static_cast<std::int64_t>(layer.live.size()), -1, e.filters});
}

at::Tensor live_index(const WinogradLayer& layer, const at::Tensor& like) {
  return at::tensor(layer.live_xi, at::TensorOptions().dtype(at::kLong)).to(like.device());
}

}  // namespace

at::Tensor winograd_forward_aten(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                 const at::Tensor& bias) {
  const Extents e = extents_of(layer, x, U);
  at::Tensor y;
  if (layer.live.empty()) {
    y = at::zeros({e.batch, e.out_h, e.out_w, e.filters}, x.options().memory_format(at::MemoryFormat::Contiguous));
  } else {
    const at::Tensor v = input_transform(layer, x, e);
    const at::Tensor kept = U.index_select(0, live_index(layer, U)).to(x.dtype());
    y = output_transform(layer, at::bmm(v, kept.transpose(1, 2)), e);
  }
  if (bias.defined()) y = y + bias.to(x.dtype());
  return y.permute({0, 3, 1, 2}).contiguous(at::MemoryFormat::ChannelsLast);
}

WinogradGradients winograd_backward_aten(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                         const at::Tensor& dy, bool want_x, bool want_U) {
  const Extents e = extents_of(layer, x, U);
  WinogradGradients gradients;
  if (layer.live.empty()) {
    if (want_x) gradients.x = at::zeros_like(x);
    if (want_U) gradients.U = at::zeros_like(U);
    return gradients;
  }
  const at::Tensor index = live_index(layer, U);
  const at::Tensor dm = output_adjoint(layer, dy, e);
  if (want_U) {
    const at::Tensor du = at::bmm(dm.transpose(1, 2), input_transform(layer, x, e));
    gradients.U = at::zeros_like(U).index_copy_(0, index, du.to(U.dtype())).mul_(layer.keep.to(U.dtype()));
  }
  if (want_x) {
    const at::Tensor kept = U.index_select(0, index).to(x.dtype());
    gradients.x = input_adjoint(layer, at::bmm(dm, kept), e);
  }
  return gradients;
}

}  // namespace wins::training
