// The Winograd layer's forward and backward as tensor operations: any device, any float type. Each
// transform is one matrix product over all tiles at once (design: a few large kernels, not many).
#include <ATen/ATen.h>

#include <algorithm>

#include "winograd_function.hpp"

namespace wins::training {
namespace {

/// Sizes of one call.
struct Extents {
  std::int64_t batch, height, width, channels, filters, out_h, out_w, tile_rows, tile_cols, live;
  std::int64_t m, p, step;
  std::int64_t tiles() const { return batch * tile_rows * tile_cols; }
};

Extents extents_of(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U) {
  const winograd::Algorithm& f = *layer.algorithm;
  Extents e{};
  e.batch = x.size(0);
  e.channels = x.size(1);
  e.height = x.size(2);
  e.width = x.size(3);
  e.filters = U.size(1);
  e.out_h = f.outputs(e.height + layer.pads[0] + layer.pads[2]);
  e.out_w = f.outputs(e.width + layer.pads[1] + layer.pads[3]);
  const winograd::TileGrid grid = winograd::tile_grid(f.m, e.out_h, e.out_w);
  e.tile_rows = grid.rows;
  e.tile_cols = grid.cols;
  e.live = static_cast<std::int64_t>(layer.live.size());
  e.m = f.m;
  e.p = f.p();
  e.step = f.step();
  return e;
}

/// V at the live positions, [L, P, C].
at::Tensor input_transform(const WinogradLayer& layer, const at::Tensor& x, const Extents& e) {
  const std::int64_t bottom = (e.tile_rows - 1) * e.step + e.p - e.height - layer.pads[0];
  const std::int64_t right = (e.tile_cols - 1) * e.step + e.p - e.width - layer.pads[1];
  const at::Tensor padded =
      at::constant_pad_nd(x.permute({0, 2, 3, 1}), {0, 0, layer.pads[1], right, layer.pads[0], bottom});
  const at::Tensor pixels =
      padded.unfold(1, e.p, e.step).unfold(2, e.p, e.step).permute({4, 5, 0, 1, 2, 3}).reshape({e.p * e.p, -1});
  return at::mm(layer.input_transform.to(x.scalar_type()), pixels).view({e.live, e.tiles(), e.channels});
}

/// dX [N, C, H, W] from dV [L, P, C]: the transpose of `input_transform`.
at::Tensor input_adjoint(const WinogradLayer& layer, const at::Tensor& dv, const Extents& e) {
  const at::Tensor pixels = at::mm(layer.input_transform.to(dv.scalar_type()).t(), dv.reshape({e.live, -1}))
                                .view({e.p, e.p, e.batch, e.tile_rows, e.tile_cols, e.channels});
  // A tile overlaps its neighbours in blocks of step x step pixels: `overlap` blocks in each direction.
  const std::int64_t step = e.step, overlap = (e.p + step - 1) / step;
  const std::int64_t rows = e.tile_rows + overlap - 1, cols = e.tile_cols + overlap - 1;
  at::Tensor sum = at::zeros({e.batch, rows, step, cols, step, e.channels}, dv.options());
  for (std::int64_t i = 0; i < overlap; ++i) {
    for (std::int64_t j = 0; j < overlap; ++j) {
      const std::int64_t high = std::min(e.p - i * step, step), wide = std::min(e.p - j * step, step);
      sum.slice(1, i, i + e.tile_rows)
          .slice(2, 0, high)
          .slice(3, j, j + e.tile_cols)
          .slice(4, 0, wide)
          .add_(pixels.slice(0, i * step, i * step + high)
                    .slice(1, j * step, j * step + wide)
                    .permute({2, 3, 0, 4, 1, 5}));
    }
  }
  return sum.view({e.batch, rows * step, cols * step, e.channels})
      .slice(1, layer.pads[0], layer.pads[0] + e.height)
      .slice(2, layer.pads[1], layer.pads[1] + e.width)
      .permute({0, 3, 1, 2});
}

/// Y [N, H', W', K] from M [L, P, K].
at::Tensor output_transform(const WinogradLayer& layer, const at::Tensor& products, const Extents& e) {
  const at::Tensor pixels =
      at::mm(layer.output_transform.to(products.scalar_type()), products.reshape({e.live, -1}))
          .view({e.m, e.m, e.batch, e.tile_rows, e.tile_cols, e.filters});
  return pixels.permute({2, 3, 0, 4, 1, 5})
      .reshape({e.batch, e.tile_rows * e.m, e.tile_cols * e.m, e.filters})
      .slice(1, 0, e.out_h)
      .slice(2, 0, e.out_w);
}

/// dM [L, P, K] from dY [N, K, H', W'].
at::Tensor output_adjoint(const WinogradLayer& layer, const at::Tensor& dy, const Extents& e) {
  const at::Tensor padded = at::constant_pad_nd(
      dy.permute({0, 2, 3, 1}), {0, 0, 0, e.tile_cols * e.m - e.out_w, 0, e.tile_rows * e.m - e.out_h});
  const at::Tensor pixels = padded.reshape({e.batch, e.tile_rows, e.m, e.tile_cols, e.m, e.filters})
                                .permute({2, 4, 0, 1, 3, 5})
                                .reshape({e.m * e.m, -1});
  return at::mm(layer.output_transform.to(dy.scalar_type()).t(), pixels).view({e.live, e.tiles(), e.filters});
}

}  // namespace

at::Tensor winograd_forward_aten(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                                 const at::Tensor& bias) {
  const Extents e = extents_of(layer, x, U);
  at::Tensor y;
  if (layer.live.empty()) {
    y = at::zeros({e.batch, e.out_h, e.out_w, e.filters}, x.options());
  } else {
    const at::Tensor kept = U.index_select(0, layer.live_xi).to(x.scalar_type());
    y = output_transform(layer, at::bmm(input_transform(layer, x, e), kept.transpose(1, 2)), e);
  }
  if (bias.defined()) y = y + bias.to(x.scalar_type());
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
  const at::Tensor dm = output_adjoint(layer, dy, e);
  if (want_U) {
    const at::Tensor du = at::bmm(dm.transpose(1, 2), input_transform(layer, x, e)).to(U.scalar_type());
    gradients.U = at::zeros_like(U).index_copy_(0, layer.live_xi, du).mul_(layer.keep.to(U.scalar_type()));
  }
  if (want_x) {
    const at::Tensor kept = U.index_select(0, layer.live_xi).to(x.scalar_type());
    gradients.x = input_adjoint(layer, at::bmm(dm, kept), e);
  }
  return gradients;
}

}  // namespace wins::training
