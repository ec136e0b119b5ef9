// Axes in another order: oneDNN's reorder between two strided forms of one tensor. Depth to space
// and its inverse are such a permutation of the axes that they split.
#include "dnnl_step.hpp"
#include "kernels.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::DepthToSpace;
using graph::SpaceToDepth;
using graph::Transpose;
using Axes = std::vector<std::size_t>;

Cost predict_copy(const Problem& problem) {
  const double values = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(0, 8 * values, 1, problem.env.threads, problem.env.machine);
}

std::optional<std::string> refuse(const Problem& problem) {
  if (!problem.is_float() || problem.input(0).dtype != DType::f32) return "not float32";
  if (problem.output_shape().empty()) return "no axes";
  if (element_count(problem.output_shape()) == 0) return "empty";
  return std::nullopt;
}

/// The form of a tensor of extents `shape` whose axes stand in memory in the order `perm`.
dnnl::memory::desc permuted_desc(const Shape& shape, const Axes& perm) {
  Shape strides(shape.size(), 1);
  std::int64_t pitch = 1;
  for (std::size_t i = perm.size(); i-- > 0;) {
    strides[perm[i]] = pitch;
    pitch *= shape[perm[i]];
  }
  return strided_desc(shape, strides);
}

Implementation build_reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to, Layout layout,
                             std::string name) {
  const DnnlPlan plan = make_reorder(from, to);
  auto step = std::make_unique<DnnlStep>(plan);
  step->bind_input(DNNL_ARG_FROM, 0, from);
  step->bind_output(DNNL_ARG_TO, 0, to);
  Implementation result;
  result.name = std::move(name);
  result.inputs = {need(layout)};
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

Implementation build_transpose(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const auto rank = static_cast<std::int64_t>(x.size());
  Axes perm;
  for (const std::int64_t axis : std::get<Transpose>(problem.node.op).perm)
    perm.push_back(static_cast<std::size_t>(axis < 0 ? axis + rank : axis));
  if (perm.empty()) {
    for (std::size_t i = x.size(); i-- > 0;) perm.push_back(i);
  }
  const Layout layout = problem.existing[0];
  const auto from = layout == Layout::plain ? plain_desc(x) : blocked_desc(x, problem.env.block);
  return build_reorder(from, permuted_desc(x, perm), layout, "cpu:transpose");
}

Implementation build_depth_to_space(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const auto& op = std::get<DepthToSpace>(problem.node.op);
  const std::int64_t b = op.block, c = x[1] / (b * b);
  const Shape split = op.crd ? Shape{x[0], c, b, b, x[2], x[3]} : Shape{x[0], b, b, c, x[2], x[3]};
  const Axes perm = op.crd ? Axes{0, 1, 4, 2, 5, 3} : Axes{0, 3, 4, 1, 5, 2};
  return build_reorder(plain_desc(split), permuted_desc(split, perm), Layout::plain, "cpu:depth_to_space");
}

Implementation build_space_to_depth(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const std::int64_t b = std::get<SpaceToDepth>(problem.node.op).block;
  const Shape split{x[0], x[1], x[2] / b, b, x[3] / b, b};
  return build_reorder(plain_desc(split), permuted_desc(split, {0, 3, 5, 1, 2, 4}), Layout::plain,
                       "cpu:space_to_depth");
}

}  // namespace

Kernel transpose_kernel() {
  return {"cpu:transpose", &refuse, &predict_copy, &build_transpose};
}
Kernel depth_to_space_kernel() {
  return {"cpu:depth_to_space", &refuse, &predict_copy, &build_depth_to_space};
}
Kernel space_to_depth_kernel() {
  return {"cpu:space_to_depth", &refuse, &predict_copy, &build_space_to_depth};
}

}  // namespace wins::runtime::cpu
