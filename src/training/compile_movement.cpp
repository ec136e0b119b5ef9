// Operators that move elements, and resampling.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compile.hpp"
#include "tensors.hpp"
#include "wins/graph/evaluate.hpp"

namespace wins::training {
namespace {

using Tensors = std::vector<at::Tensor>;

Kernel reshape_to(const Shape& shape) {
  return [shape](const Tensors& in, const Run&) { return Tensors{in[0].reshape(shape)}; };
}

/// Any operator that only moves elements of input 0: it is run once on the elements' indices, and
/// the outputs pick by those.
Kernel pick_elements(const Site& site) {
  const Shape& shape = site.shape(0);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(element_count(shape)));
  std::iota(indices.begin(), indices.end(), 0);
  const Tensor source = Tensor::of<std::int64_t>(shape, indices);
  std::vector<const Tensor*> inputs{&source};
  for (std::size_t i = 1; i < site.node.inputs.size(); ++i) {
    inputs.push_back(site.has(i) ? &site.constant(i) : nullptr);
  }
  Tensors picks;
  for (const Tensor& output : graph::evaluate(site.node, inputs))
    picks.push_back(to_torch(output, site.device));
  return [picks](const Tensors& in, const Run&) {
    Tensors outputs;
    const at::Tensor flat = in[0].reshape({-1});
    for (const at::Tensor& pick : picks) {
      outputs.push_back(flat.index_select(0, pick.reshape({-1})).view(pick.sizes()));
    }
    return outputs;
  };
}

struct AxisScale {
  std::int64_t in = 0, out = 0;
  double scale = 1;
};

/// ONNX Resize-19: `scales` as they are given, or out / in for `sizes`.
std::vector<AxisScale> axis_scales(const Site& site) {
  const Shape &in = site.shape(0), &out = site.output_shape();
  const bool sized = site.has(3) && site.constant(3).size() > 0;
  if (!sized && (!site.has(2) || site.constant(2).size() == 0)) site.refuse("neither scales nor sizes");
  const Tensor given = site.constant(sized ? 3 : 2).cast(DType::f64);
  std::vector<AxisScale> axes;
  for (std::size_t axis = 0; axis < in.size(); ++axis) {
    const double ratio = static_cast<double>(out[axis]) / static_cast<double>(in[axis]);
    axes.push_back({in[axis], out[axis], sized ? ratio : given.data<double>()[axis]});
  }
  return axes;
}

double source_position(const graph::Resize& op, const AxisScale& axis, std::int64_t index) {
  using Coordinate = graph::Resize::Coordinate;
  const auto x = static_cast<double>(index), in = static_cast<double>(axis.in),
             out = static_cast<double>(axis.out);
  const double half_pixel = (x + 0.5) / axis.scale - 0.5;
  switch (op.coordinate) {
    case Coordinate::half_pixel:
      return half_pixel;
    case Coordinate::half_pixel_symmetric:
      return half_pixel + in / 2 * (1 - out / (axis.scale * in));
    case Coordinate::pytorch_half_pixel:
      return axis.out > 1 ? half_pixel : 0;
    case Coordinate::align_corners:
      return axis.out > 1 ? x * (in - 1) / (out - 1) : 0;
    case Coordinate::asymmetric:
      return x / axis.scale;
  }
  TORCH_CHECK(false, "unknown coordinate transformation");
}

double nearest_index(graph::Resize::Nearest rounding, double position) {
  using Nearest = graph::Resize::Nearest;
  switch (rounding) {
    case Nearest::round_prefer_floor:
      return std::ceil(position - 0.5);
    case Nearest::round_prefer_ceil:
      return std::floor(position + 0.5);
    case Nearest::floor:
      return std::floor(position);
    case Nearest::ceil:
      return std::ceil(position);
  }
  TORCH_CHECK(false, "unknown rounding");
}

/// Keys' cubic kernel ("Cubic Convolution Interpolation for Digital Image Processing", 1981).
double cubic(double a, double distance) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? a * (((d - 5) * d + 8) * d - 4) : 0;
}

/// Weights of the source elements for every output element, [out, in]; every mode is linear in x.
at::Tensor resampling_matrix(const graph::Resize& op, const AxisScale& axis) {
  at::Tensor matrix = at::zeros({axis.out, axis.in}, at::kDouble);
  auto weights = matrix.accessor<double, 2>();
  for (std::int64_t o = 0; o < axis.out; ++o) {
    const double position = source_position(op, axis, o);
    const auto add = [&](double source, double weight) {
      weights[o][std::clamp<std::int64_t>(static_cast<std::int64_t>(source), 0, axis.in - 1)] += weight;
    };
    const double base = std::floor(position), fraction = position - base;
    switch (op.mode) {
      case graph::Resize::Mode::nearest:
        add(nearest_index(op.nearest, position), 1);
        break;
      case graph::Resize::Mode::linear:
        add(base, 1 - fraction);
        add(base + 1, fraction);
        break;
      case graph::Resize::Mode::cubic:
        for (int tap = -1; tap <= 2; ++tap) {
          add(base + tap, cubic(static_cast<double>(op.cubic_a), fraction - tap));
        }
        break;
    }
  }
  return matrix;
}

}  // namespace

Kernel compile(const graph::Flatten&, const Site& site) {
  return reshape_to(site.output_shape());
}
Kernel compile(const graph::Reshape&, const Site& site) {
  return reshape_to(site.output_shape());
}
Kernel compile(const graph::Squeeze&, const Site& site) {
  return reshape_to(site.output_shape());
}
Kernel compile(const graph::Unsqueeze&, const Site& site) {
  return reshape_to(site.output_shape());
}

Kernel compile(const graph::Expand&, const Site& site) {
  return
      [shape = site.output_shape()](const Tensors& in, const Run&) { return Tensors{in[0].expand(shape)}; };
}

Kernel compile(const graph::Transpose& op, const Site& site) {
  graph::Ints perm = op.perm;
  for (std::size_t i = site.shape(0).size(); op.perm.empty() && i > 0; --i) {
    perm.push_back(static_cast<std::int64_t>(i) - 1);
  }
  return [perm](const Tensors& in, const Run&) { return Tensors{in[0].permute(perm)}; };
}

Kernel compile(const graph::Concat& op, const Site&) {
  return [axis = op.axis](const Tensors& in, const Run&) { return Tensors{at::cat(in, axis)}; };
}

Kernel compile(const graph::Split& op, const Site& site) {
  const auto rank = static_cast<std::int64_t>(site.shape(0).size());
  const std::int64_t axis = op.axis < 0 ? op.axis + rank : op.axis;
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < site.node.outputs.size(); ++i) {
    sizes.push_back(site.output_shape(i)[static_cast<std::size_t>(axis)]);
  }
  return [sizes, axis](const Tensors& in, const Run&) { return at::split_with_sizes(in[0], sizes, axis); };
}

Kernel compile(const graph::Slice&, const Site& site) {
  const Shape &in = site.shape(0), &out = site.output_shape();
  const std::vector<std::int64_t> starts = site.ints(1);
  const auto rank = static_cast<std::int64_t>(in.size());
  std::vector<std::int64_t> axes(starts.size()), steps(starts.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (site.has(3)) axes = site.ints(3);
  if (site.has(4)) steps = site.ints(4);
  // libtorch's slices only go forward.
  if (std::any_of(steps.begin(), steps.end(), [](std::int64_t step) { return step < 1; }))
    return pick_elements(site);
  for (std::int64_t& axis : axes) axis += axis < 0 ? rank : 0;
  return [=](const Tensors& inputs, const Run&) {
    at::Tensor y = inputs[0];
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto axis = static_cast<std::size_t>(axes[i]);
      const std::int64_t start =
          std::clamp<std::int64_t>(starts[i] < 0 ? starts[i] + in[axis] : starts[i], 0, in[axis]);
      y = y.slice(axes[i], start, start + out[axis] * steps[i] - (out[axis] > 0 ? steps[i] - 1 : 0),
                  steps[i]);
    }
    return Tensors{y};
  };
}

Kernel compile(const graph::Gather&, const Site& site) {
  return pick_elements(site);
}
Kernel compile(const graph::SpaceToDepth&, const Site& site) {
  return pick_elements(site);
}

Kernel compile(const graph::DepthToSpace& op, const Site& site) {
  if (!op.crd) return pick_elements(site);
  return
      [block = op.block](const Tensors& in, const Run&) { return Tensors{at::pixel_shuffle(in[0], block)}; };
}

Kernel compile(const graph::Pad& op, const Site& site) {
  if (op.mode != graph::Pad::Mode::constant) return pick_elements(site);
  const std::vector<std::int64_t> given = site.ints(1);
  const std::size_t rank = site.shape(0).size();
  std::vector<std::int64_t> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (site.has(3)) axes = site.ints(3);
  // constant_pad_nd wants {before, after} from the last axis to the first.
  std::vector<std::int64_t> pads(2 * rank);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis =
        static_cast<std::size_t>(axes[i] < 0 ? axes[i] + static_cast<std::int64_t>(rank) : axes[i]);
    pads[2 * (rank - 1 - axis)] = given.at(i);
    pads[2 * (rank - 1 - axis) + 1] = given.at(i + axes.size());
  }
  const double value = site.has(2) ? site.constant(2).cast(DType::f64).data<double>()[0] : 0.0;
  return [pads, value](const Tensors& in, const Run&) {
    return Tensors{at::constant_pad_nd(in[0], pads, value)};
  };
}

Kernel compile(const graph::Resize& op, const Site& site) {
  std::vector<std::pair<std::int64_t, at::Tensor>> steps;
  const std::vector<AxisScale> axes = axis_scales(site);
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis].in == axes[axis].out && axes[axis].scale == 1) continue;
    steps.emplace_back(static_cast<std::int64_t>(axis), resampling_matrix(op, axes[axis]).to(site.device));
  }
  return [steps](const Tensors& in, const Run&) {
    at::Tensor y = in[0];
    for (const auto& [axis, matrix] : steps) {
      y = at::matmul(y.movedim(axis, -1), matrix.to(y.scalar_type()).t()).movedim(-1, axis);
    }
    return Tensors{y.contiguous(in[0].suggest_memory_format())};
  };
}

}  // namespace wins::training
