// Normalisation, softmax, reductions and pooling.
#include <ATen/ATen.h>

#include <limits>
#include <numeric>

#include "compile.hpp"

namespace wins::training {
namespace {

using Tensors = std::vector<at::Tensor>;

/// Axes of a reduction, or nothing when it does nothing.
std::optional<std::vector<std::int64_t>> reduced_axes(const graph::Reduce& op, const Site& site) {
  std::vector<std::int64_t> axes = site.has(1) ? site.ints(1) : std::vector<std::int64_t>{};
  if (!axes.empty()) return axes;
  if (op.noop_with_empty_axes) return {};
  axes.resize(site.shape(0).size());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

/// Rows and columns to add on each side so that a floor-mode pool gives exactly the output's shape:
/// {left, right, top, bottom}. With ceil_mode the last window may need more than the node's pads.
std::vector<std::int64_t> pool_pads(const graph::Window& w, const Shape& in, const Shape& out) {
  std::vector<std::int64_t> pads;
  for (const std::size_t axis : {std::size_t{1}, std::size_t{0}}) {
    const std::int64_t reach = (w.kernel[axis] - 1) * w.dilation[axis] + 1;
    const std::int64_t covered = (out[axis + 2] - 1) * w.stride[axis] + reach;
    pads.push_back(w.pads[axis]);
    pads.push_back(covered - in[axis + 2] - w.pads[axis]);
  }
  return pads;
}

/// 1 / (elements that count) for each output pixel, [1, 1, H', W'].
at::Tensor pool_factors(const graph::Pool& op, const Shape& in, const Shape& out) {
  const graph::Window& w = op.window;
  at::Tensor factors = at::ones({1, 1, out[2], out[3]}, at::kDouble);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    // Taps beyond the node's own pads never count.
    const std::int64_t first = op.count_include_pad ? -w.pads[axis] : 0;
    const std::int64_t last = in[axis + 2] + (op.count_include_pad ? w.pads[axis + 2] : 0);
    std::vector<double> counts;
    for (std::int64_t o = 0; o < out[axis + 2]; ++o) {
      double count = 0;
      for (std::int64_t k = 0; k < w.kernel[axis]; ++k) {
        const std::int64_t at = o * w.stride[axis] - w.pads[axis] + k * w.dilation[axis];
        if (at >= first && at < last) ++count;
      }
      counts.push_back(count);
    }
    const at::Tensor line = at::tensor(counts, at::kDouble);
    factors.mul_(axis == 0 ? line.view({1, 1, -1, 1}) : line.view({1, 1, 1, -1}));
  }
  return factors.clamp_min_(1).reciprocal_();
}

/// Sum over each window of an explicitly padded input. Dilated windows go through a convolution.
at::Tensor window_sum(const at::Tensor& x, const graph::Window& w) {
  if (w.dilation == std::array<std::int64_t, 2>{1, 1}) {
    return at::avg_pool2d(x, w.kernel, w.stride, 0, false, true, 1);
  }
  const std::int64_t channels = x.size(1);
  const at::Tensor ones = at::ones({channels, 1, w.kernel[0], w.kernel[1]}, x.options().requires_grad(false));
  return at::conv2d(x, ones, {}, w.stride, at::IntArrayRef{0}, w.dilation, channels);
}

}  // namespace

Kernel compile(const graph::BatchNorm& op, const Site& site) {
  for (const std::size_t input : {1, 2, 3, 4}) site.constant(input);
  return [op](const Tensors& in, const Run& run) {
    const bool batch = run.mode != Mode::inference;
    // ONNX's momentum is the share that the old value keeps.
    const double momentum =
        run.mode == Mode::statistics ? run.statistics_weight : 1.0 - static_cast<double>(op.momentum);
    return Tensors{at::batch_norm(in[0], in[1], in[2], in[3], in[4], batch, momentum, op.epsilon, true)};
  };
}

Kernel compile(const graph::Lrn& op, const Site&) {
  return [op](const Tensors& in, const Run&) {
    // Channels [c - floor((size - 1) / 2), c + ceil((size - 1) / 2)] as a pool along the channels.
    const at::Tensor& x = in[0];
    const at::Tensor flat = (x * x).reshape({x.size(0), 1, x.size(1), -1});
    const at::Tensor padded = at::constant_pad_nd(flat, {0, 0, (op.size - 1) / 2, op.size / 2});
    const at::Tensor mean =
        at::avg_pool2d(padded, {op.size, 1}, {1, 1}, 0, false, true, op.size).reshape(x.sizes());
    return Tensors{x / at::pow(mean * op.alpha + op.bias, op.beta)};
  };
}

Kernel compile(const graph::LayerNorm& op, const Site& site) {
  const Shape& shape = site.shape(0);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t axis = op.axis < 0 ? op.axis + rank : op.axis;
  const std::vector<std::int64_t> extents(shape.begin() + axis, shape.end());
  return [op, extents](const Tensors& in, const Run&) {
    const at::Tensor shift = in.size() > 2 && in[2].defined() ? in[2].reshape(extents) : at::Tensor();
    return Tensors{at::layer_norm(in[0], extents, in[1].reshape(extents), shift, op.epsilon)};
  };
}

Kernel compile(const graph::Softmax& op, const Site&) {
  return [op](const Tensors& in, const Run&) {
    return Tensors{op.log ? at::log_softmax(in[0], op.axis) : at::softmax(in[0], op.axis)};
  };
}

Kernel compile(const graph::Reduce& op, const Site& site) {
  const auto axes = reduced_axes(op, site);
  return [op, axes](const Tensors& in, const Run&) {
    if (!axes) return Tensors{op.kind == graph::Reduce::Kind::l2 ? at::abs(in[0]) : in[0]};
    switch (op.kind) {
      case graph::Reduce::Kind::mean:
        return Tensors{at::mean(in[0], *axes, op.keep_dims)};
      case graph::Reduce::Kind::sum:
        return Tensors{at::sum(in[0], *axes, op.keep_dims)};
      case graph::Reduce::Kind::max:
        return Tensors{at::amax(in[0], *axes, op.keep_dims)};
      case graph::Reduce::Kind::min:
        return Tensors{at::amin(in[0], *axes, op.keep_dims)};
      case graph::Reduce::Kind::l2:
        return Tensors{at::norm(in[0], 2, *axes, op.keep_dims)};
    }
    TORCH_CHECK(false, "unknown reduction");
  };
}

Kernel compile(const graph::Pool& op, const Site& site) {
  const std::vector<std::int64_t> pads = pool_pads(op.window, site.shape(0), site.output_shape());
  const graph::Window w = op.window;
  if (op.kind == graph::Pool::Kind::max) {
    return [=](const Tensors& in, const Run&) {
      const bool padded = std::any_of(pads.begin(), pads.end(), [](std::int64_t pad) { return pad != 0; });
      const at::Tensor x =
          padded ? at::constant_pad_nd(in[0], pads, -std::numeric_limits<double>::infinity()) : in[0];
      return Tensors{at::max_pool2d(x, w.kernel, w.stride, 0, w.dilation)};
    };
  }
  const at::Tensor factors = pool_factors(op, site.shape(0), site.output_shape()).to(site.device);
  return [=](const Tensors& in, const Run&) {
    return Tensors{window_sum(at::constant_pad_nd(in[0], pads), w) * factors.to(in[0].scalar_type())};
  };
}

Kernel compile(const graph::GlobalPool& op, const Site& site) {
  std::vector<std::int64_t> axes(site.shape(0).size() - 2);
  std::iota(axes.begin(), axes.end(), 2);
  return [kind = op.kind, axes](const Tensors& in, const Run&) {
    return Tensors{kind == graph::Pool::Kind::max ? at::amax(in[0], axes, true)
                                                  : at::mean(in[0], axes, true)};
  };
}

}  // namespace wins::training
