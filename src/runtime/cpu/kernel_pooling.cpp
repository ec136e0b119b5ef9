// Pooling through oneDNN: windows, whole planes, and reductions over whole planes.
#include <fmt/format.h>

#include <algorithm>

#include "dnnl_step.hpp"
#include "kernels.hpp"

namespace wins::runtime::cpu {
namespace {

using dnnl::algorithm;
using graph::GlobalPool;
using graph::Pool;
using graph::Reduce;

/// Nothing when the reduction is the mean or maximum over rows and columns, kept as extents of 1.
std::optional<std::string> refuse_reduction(const Problem& problem, const Reduce& op) {
  if (op.kind != Reduce::Kind::mean && op.kind != Reduce::Kind::max) return "neither mean nor max";
  if (!op.keep_dims) return "drops the axes";
  const Tensor* axes = problem.constant(1);
  if (axes == nullptr || axes->dtype() != DType::i64 || axes->size() != 2) return "not over rows and columns";
  const std::int64_t product =
      (axes->data<std::int64_t>()[0] + 4) % 4 * 10 + (axes->data<std::int64_t>()[1] + 4) % 4;
  if (product != 23 && product != 32) return "not over rows and columns";
  return std::nullopt;
}

/// Padding after that gives exactly the output's extent.
std::int64_t padding_after(std::int64_t in, std::int64_t out, const graph::Window& w, std::size_t axis) {
  return (out - 1) * w.stride[axis] + w.kernel[axis] - in - w.pads[axis];
}

std::optional<std::string> refuse_window(const Problem& problem, const Pool& op) {
  const graph::Window& w = op.window;
  if (w.dilation != std::array<std::int64_t, 2>{1, 1}) return "dilated";
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t after =
        padding_after(problem.input_shape(0)[2 + axis], problem.output_shape()[2 + axis], w, axis);
    if (w.pads[axis] >= w.kernel[axis] || after >= w.kernel[axis])
      return "a window lies in the padding alone";
    if (op.kind == Pool::Kind::average && op.count_include_pad && after > w.pads[2 + axis]) {
      return "ceil_mode counts no padding of its own";
    }
  }
  return std::nullopt;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (problem.node.outputs.size() > 1) return "indices are wanted";
  if (const auto* reduce = problem.node.as<Reduce>()) return refuse_reduction(problem, *reduce);
  if (const auto* pool = problem.node.as<Pool>()) return refuse_window(problem, *pool);
  return std::nullopt;
}

Cost predict(const Problem& problem) {
  const double values =
      static_cast<double>(element_count(problem.input_shape(0)) + element_count(problem.output_shape()));
  return predict_roofline(0, 4 * values, 1, problem.env.threads, problem.env.machine);
}

struct Geometry {
  algorithm kind;
  DnnlWindow window;
};

Geometry geometry_of(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const auto* pool = problem.node.as<Pool>();
  if (pool == nullptr) {
    const auto* reduce = problem.node.as<Reduce>();
    const bool average = reduce != nullptr
                             ? reduce->kind == Reduce::Kind::mean
                             : std::get<GlobalPool>(problem.node.op).kind == Pool::Kind::average;
    return {average ? algorithm::pooling_avg_exclude_padding : algorithm::pooling_max,
            {{1, 1}, {x[2], x[3]}, {1, 1}, {}}};
  }
  const graph::Window& w = pool->window;
  Geometry result{algorithm::pooling_max, {w.stride, w.kernel, w.dilation, w.pads}};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t after = padding_after(x[2 + axis], problem.output_shape()[2 + axis], w, axis);
    result.window.pads[2 + axis] = std::max(after, w.pads[2 + axis]);
  }
  if (pool->kind == Pool::Kind::average) {
    result.kind = pool->count_include_pad ? algorithm::pooling_avg_include_padding
                                          : algorithm::pooling_avg_exclude_padding;
  }
  return result;
}

Implementation build(const Problem& problem) {
  const Geometry geometry = geometry_of(problem);
  const ImageLoop loop(problem);
  const auto src = blocked_desc(loop.seen(problem.input_shape(0)), problem.env.block);
  const auto dst = blocked_desc(loop.seen(problem.output_shape()), problem.env.block);
  const DnnlPlan plan = make_pooling(geometry.kind, src, dst, geometry.window);
  auto step = std::make_unique<DnnlStep>(plan);
  step->bind_input(DNNL_ARG_SRC, 0, src, problem.input_pitches[0]);
  step->bind_output(DNNL_ARG_DST, 0, dst, problem.output_pitches[0]);
  step->repeat(loop.images);
  Implementation result;
  result.name = fmt::format("cpu:pooling:{}", plan.implementation);
  result.inputs = {Need::blocked};
  result.output = Layout::blocked;
  result.pitched = true;
  result.by_image = loop.apart;
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel pooling_kernel() {
  return {"cpu:pooling", &refuse, &predict, &build};
}

}  // namespace wins::runtime::cpu
