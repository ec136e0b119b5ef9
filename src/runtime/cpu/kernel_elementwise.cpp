// Element by element and along an axis: through oneDNN; batch norm by a loop.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "batch_norm.hpp"
#include "dnnl_step.hpp"
#include "kernels.hpp"
#include "wins/base/parallel.hpp"
#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cpu {
namespace {

Cost predict_copy(const Problem& problem) {
  const double values = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(0, 8 * values, 1, problem.env.threads, problem.env.machine);
}

// ---- one input -------------------------------------------------------------------------------------

std::optional<std::string> refuse_eltwise(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  const graph::Activation& function = std::get<graph::Unary>(problem.node.op).function;
  if (!dnnl_eltwise(function)) return "not in oneDNN";
  if (element_count(problem.output_shape()) == 0) return "empty";
  return std::nullopt;
}

Implementation build_eltwise(const Problem& problem) {
  const Layout layout = problem.existing[0];
  const ImageLoop loop(problem);
  const bool blocked = layout == Layout::blocked;
  const Shape& shape = problem.input_shape(0);
  const auto desc = blocked ? blocked_desc(loop.seen(shape), problem.env.block) : plain_desc(shape);
  const auto function = *dnnl_eltwise(std::get<graph::Unary>(problem.node.op).function);
  auto step = std::make_unique<DnnlStep>(make_eltwise(function, desc));
  step->bind_input(DNNL_ARG_SRC, 0, desc, problem.input_pitches[0]);
  step->bind_output(DNNL_ARG_DST, 0, desc, problem.output_pitches[0]);
  if (blocked) step->repeat(loop.images);
  Implementation result;
  result.name = "cpu:eltwise";
  result.pitched = true;
  result.by_image = blocked && loop.apart;
  result.inputs = {need(layout)};
  result.output = layout;
  result.in_place = 0;
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

// ---- batch norm ------------------------------------------------------------------------------------

std::optional<std::string> refuse_scale_shift(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (!has_constant_statistics(problem.env.graph, problem.node)) return "statistics are not constant";
  return std::nullopt;
}

/// y = scale x + shift with one pair for each channel, on blocked tensors.
class ScaleShiftStep : public Step {
 public:
  explicit ScaleShiftStep(const Problem& problem)
      : block_(problem.env.block),
        threads_(problem.env.threads),
        pixels_(problem.output_shape()[2] * problem.output_shape()[3]),
        channel_blocks_(divide_up(problem.output_shape()[1], block_)),
        planes_(problem.output_shape()[0] * channel_blocks_),
        x_pitch_(problem.input_pitches[0]),
        y_pitch_(problem.output_pitches[0]),
        factors_(batch_norm_factors(problem.env.graph, problem.node, block_)) {}

  void run(const Arguments& arguments) override {
    const auto* x = static_cast<const float*>(arguments.inputs[0]);
    auto* y = static_cast<float*>(arguments.outputs[0]);
    parallel_for(planes_, threads_, [&](std::int64_t plane, int) {
      const std::int64_t image = plane / channel_blocks_, channel = plane % channel_blocks_ * block_;
      const float* from = x + image * x_pitch_ + channel * pixels_;
      float* to = y + image * y_pitch_ + channel * pixels_;
      const float *scale = factors_.scale.data() + channel, *shift = factors_.shift.data() + channel;
      if (block_ == 16) {
        run_plane<16>(from, to, scale, shift);
      } else {
        run_plane<8>(from, to, scale, shift);
      }
    });
  }

 private:
  template <int kBlock>
  void run_plane(const float* x, float* y, const float* scale, const float* shift) const {
    float a[kBlock], b[kBlock];
    std::copy_n(scale, kBlock, a);
    std::copy_n(shift, kBlock, b);
    for (std::int64_t i = 0; i < pixels_; ++i, x += kBlock, y += kBlock) {
      for (int lane = 0; lane < kBlock; ++lane) y[lane] = a[lane] * x[lane] + b[lane];
    }
  }

  int block_, threads_;
  std::int64_t pixels_, channel_blocks_, planes_;
  std::int64_t x_pitch_, y_pitch_;  // between images
  BatchNormFactors factors_;
};

Implementation build_scale_shift(const Problem& problem) {
  Implementation result;
  result.name = "cpu:scale_shift";
  result.inputs = {Need::blocked, Need::none, Need::none, Need::none, Need::none};
  result.output = Layout::blocked;
  result.pitched = true;
  result.in_place = 0;
  result.step = std::make_unique<ScaleShiftStep>(problem);
  return result;
}

// ---- along an axis ---------------------------------------------------------------------------------

std::optional<std::string> refuse_softmax(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.output_shape().empty() || element_count(problem.output_shape()) == 0) return "empty";
  return std::nullopt;
}

Implementation build_softmax(const Problem& problem) {
  const auto& op = std::get<graph::Softmax>(problem.node.op);
  const auto rank = static_cast<std::int64_t>(problem.output_shape().size());
  const auto desc = plain_desc(problem.output_shape());
  auto step =
      std::make_unique<DnnlStep>(make_softmax(desc, static_cast<int>((op.axis + rank) % rank), op.log));
  step->bind_input(DNNL_ARG_SRC, 0, desc);
  step->bind_output(DNNL_ARG_DST, 0, desc);
  Implementation result;
  result.name = "cpu:softmax";
  result.inputs = {Need::plain};
  result.in_place = 0;
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

/// Elements over which LayerNorm normalises.
std::int64_t normalised_count(const Problem& problem) {
  const Shape& shape = problem.output_shape();
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t axis = (std::get<graph::LayerNorm>(problem.node.op).axis + rank) % rank;
  return element_count(Shape(shape.begin() + axis, shape.end()));
}

std::optional<std::string> refuse_layer_norm(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.output_shape().empty() || element_count(problem.output_shape()) == 0) return "empty";
  for (std::size_t i = 1; i < problem.node.inputs.size(); ++i) {
    if (!problem.has_input(i)) continue;
    if (problem.input(i).dtype != DType::f32) return "not float32";
    if (element_count(problem.input_shape(i)) != normalised_count(problem)) return "scale is broadcast";
  }
  return std::nullopt;
}

Implementation build_layer_norm(const Problem& problem) {
  const std::int64_t count = normalised_count(problem);
  const bool shift = problem.node.inputs.size() > 2 && problem.has_input(2);
  const auto desc = plain_desc({element_count(problem.output_shape()) / count, count});
  auto step = std::make_unique<DnnlStep>(
      make_layer_norm(desc, std::get<graph::LayerNorm>(problem.node.op).epsilon, shift));
  step->bind_input(DNNL_ARG_SRC, 0, desc);
  step->bind_input(DNNL_ARG_SCALE, 1, plain_desc({count}));
  if (shift) step->bind_input(DNNL_ARG_SHIFT, 2, plain_desc({count}));
  step->bind_output(DNNL_ARG_DST, 0, desc);
  Implementation result;
  result.name = "cpu:layer_norm";
  result.inputs.assign(problem.node.inputs.size(), Need::plain);
  result.in_place = 0;
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

std::optional<std::string> refuse_lrn(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.output_shape().size() != 4) return "not two-dimensional";
  const auto& op = std::get<graph::Lrn>(problem.node.op);
  if (op.size % 2 == 0) return "an even number of channels";
  return std::nullopt;
}

Implementation build_lrn(const Problem& problem) {
  const auto desc = plain_desc(problem.output_shape());
  auto step = std::make_unique<DnnlStep>(make_lrn(desc, std::get<graph::Lrn>(problem.node.op)));
  step->bind_input(DNNL_ARG_SRC, 0, desc);
  step->bind_output(DNNL_ARG_DST, 0, desc);
  Implementation result;
  result.name = "cpu:lrn";
  result.inputs = {Need::plain};
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel eltwise_kernel() {
  return {"cpu:eltwise", &refuse_eltwise, &predict_copy, &build_eltwise};
}
Kernel scale_shift_kernel() {
  return {"cpu:scale_shift", &refuse_scale_shift, &predict_copy, &build_scale_shift};
}
Kernel softmax_kernel() {
  return {"cpu:softmax", &refuse_softmax, &predict_copy, &build_softmax};
}
Kernel layer_norm_kernel() {
  return {"cpu:layer_norm", &refuse_layer_norm, &predict_copy, &build_layer_norm};
}
Kernel lrn_kernel() {
  return {"cpu:lrn", &refuse_lrn, &predict_copy, &build_lrn};
}

}  // namespace wins::runtime::cpu
