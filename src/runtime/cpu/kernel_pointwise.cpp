// 1x1 convolutions through our own GEMM, dense or with block-wise pruned columns.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "batch_norm.hpp"
#include "kernels.hpp"
#include "output_activation.hpp"
#include "pointwise_convolution.hpp"
#include "wins/runtime/batch_norm.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Conv;

PointwiseGeometry geometry_of(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const Shape& y = problem.output_shape();
  PointwiseGeometry g;
  g.block = problem.env.block;
  g.batch = x[0];
  g.in_channels = x[1];
  g.in_height = x[2];
  g.in_width = x[3];
  g.out_channels = y[1];
  g.out_height = y[2];
  g.out_width = y[3];
  g.stride = std::get<Conv>(problem.node.op).window.stride[0];
  g.in_pitch = problem.input_pitches[0];
  g.out_pitch = problem.output_pitches[0];
  if (problem.has_input(3)) g.residual_pitch = problem.input_pitches[3];
  return g;
}

bool is_pointwise(const graph::Conv& conv) {
  const graph::Window& w = conv.window;
  return conv.group == 1 && w.kernel[0] == 1 && w.kernel[1] == 1 && w.stride[0] == w.stride[1] &&
         std::all_of(w.pads.begin(), w.pads.end(), [](std::int64_t pad) { return pad == 0; });
}

std::optional<std::string> refuse(const Problem& problem) {
  const auto& conv = std::get<Conv>(problem.node.op);
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (!is_pointwise(conv)) return "not a 1x1 kernel of one group without padding";
  if (problem.constant(1) == nullptr) return "weights are not constant";
  if (problem.has_input(2) && problem.constant(2) == nullptr) return "bias is not constant";
  if (!fused_activation(conv.activation)) return "activation without a kernel";
  if (problem.prologue.norm != nullptr && !has_constant_statistics(problem.env.graph, *problem.prologue.norm))
    return "statistics of the batch norm before it are not constant";
  const PointwiseGeometry g = geometry_of(problem);
  if (g.in_blocks() * g.block * g.in_pixels() > std::numeric_limits<std::uint32_t>::max()) return "picture too large";
  return std::nullopt;
}

std::shared_ptr<const PackedPointwise> pack(const Problem& problem) {
  return problem.env.weights.get<PackedPointwise>(problem.node.name + "/pointwise", [&] {
    return pack_pointwise(*problem.constant(1), pointwise_kernels(), problem.env.options.weight_storage);
  });
}

PointwiseWork work_of(const Problem& problem) {
  return pointwise_work(*problem.constant(1), pointwise_kernels(), problem.env.options.weight_storage);
}

bool packs(const Problem& problem) {
  return geometry_of(problem).stride != 1 || problem.prologue.norm != nullptr;
}

std::vector<PointwiseBlocking> blockings_of(const Problem& problem, const PointwiseWork& work) {
  return blockings(geometry_of(problem), work, packs(problem), problem.env.threads, problem.env.machine);
}

PointwiseBlocking predicted_blocking(const Problem& problem, const PointwiseWork& work) {
  return choose_blocking(geometry_of(problem), work, packs(problem), problem.env.threads, problem.env.machine);
}

/// The one that the problem names, else the best predicted.
PointwiseBlocking blocking_of(const Problem& problem, const PointwiseWork& work) {
  if (!problem.variant.empty()) {
    for (const PointwiseBlocking& blocking : blockings_of(problem, work)) {
      if (blocking.name() == problem.variant) return blocking;
    }
  }
  return predicted_blocking(problem, work);
}

std::vector<Variant> variants(const Problem& problem) {
  const PointwiseWork work = work_of(problem);
  const PointwiseBlocking best = predicted_blocking(problem, work);
  std::vector<Variant> result{{best.name(), best.cost}};
  for (const PointwiseBlocking& blocking : blockings_of(problem, work)) {
    if (blocking.name() != best.name()) result.push_back({blocking.name(), blocking.cost});
  }
  return result;
}

Cost predict(const Problem& problem) {
  return predicted_blocking(problem, work_of(problem)).cost;
}

PointwiseConvolution::Prologue pack_prologue(const Problem& problem) {
  const Prologue& given = problem.prologue;
  if (given.norm == nullptr) return {};
  PointwiseConvolution::Prologue prologue;
  prologue.factors = problem.env.weights.get<BatchNormFactors>(problem.node.name + "/pointwise/norm", [&] {
    return batch_norm_factors(problem.env.graph, *given.norm, problem.env.block);
  });
  prologue.low = given.relu != nullptr ? 0 : -std::numeric_limits<float>::infinity();
  return prologue;
}

class PointwiseStep : public Step {
 public:
  PointwiseStep(const Problem& problem, const std::shared_ptr<const PackedPointwise>& weights)
      : convolution_(geometry_of(problem), weights, pointwise_kernels(), blocking_of(problem, weights->work),
                     pack_prologue(problem)),
        bias_(padded_bias(problem)),
        residual_(problem.has_input(3)),
        activation_(*fused_activation(std::get<Conv>(problem.node.op).activation)) {}

  std::size_t workspace_bytes() const {
    return static_cast<std::size_t>(convolution_.workspace_floats()) * sizeof(float);
  }

  void run(const Arguments& arguments) override {
    const auto* residual = residual_ ? static_cast<const float*>(arguments.inputs[3]) : nullptr;
    convolution_.run({static_cast<const float*>(arguments.inputs[0]), bias_->data(), residual,
                      static_cast<float*>(arguments.outputs[0]), activation_,
                      static_cast<float*>(arguments.workspace)});
  }

 private:
  PointwiseConvolution convolution_;
  std::shared_ptr<const AlignedFloats> bias_;
  bool residual_;
  OutputActivation activation_;
};

Implementation build(const Problem& problem) {
  Implementation result;
  const auto packed = pack(problem);
  result.name = fmt::format("cpu:pointwise_{}{}_{}", packed->work.density < 1 ? "columns" : "dense",
                            packed->halved ? "_bf16" : "", lower_case(pointwise_kernels().target));
  if (problem.prologue.norm != nullptr) result.name += problem.prologue.relu != nullptr ? "+norm+relu" : "+norm";
  result.inputs = {Need::blocked, Need::none, Need::none, Need::blocked};
  result.inputs.resize(problem.node.inputs.size());
  result.output = Layout::blocked;
  result.pitched = true;
  if (problem.has_input(3)) result.in_place = 3;
  auto step = std::make_unique<PointwiseStep>(problem, packed);
  result.workspace_bytes = step->workspace_bytes();
  result.weight_bytes = packed->byte_size() + padded_bias(problem)->byte_size();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel pointwise_kernel() {
  return {"cpu:pointwise", &refuse, &predict, &build, true, false, &variants};
}

}  // namespace wins::runtime::cpu
