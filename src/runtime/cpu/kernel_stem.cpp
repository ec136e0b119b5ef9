// The first convolution of a network as a candidate, alone or with the max-pool behind it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "stem_convolution.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Conv;
using graph::Pool;

/// More are better served by kernels whose lanes or columns are input channels.
constexpr std::int64_t kMaxChannels = 4;

StemGeometry geometry_of(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const Shape& y = problem.output_shape();
  const graph::Window& w = std::get<Conv>(problem.node.op).window;
  StemGeometry g;
  g.block = problem.env.block;
  g.batch = x[0];
  g.channels = x[1];
  g.in_height = x[2];
  g.in_width = x[3];
  g.out_channels = y[1];
  g.out_height = y[2];
  g.out_width = y[3];
  g.kernel = w.kernel;
  g.stride = static_cast<int>(w.stride[0]);
  g.pad_top = w.pads[0];
  g.pad_left = w.pads[1];
  g.out_pitch = problem.output_pitches[0];
  return g;
}

const Shape& pooled_shape(const Problem& problem) {
  return problem.env.graph.value(problem.max_pool->outputs[0]).shape.value();
}

std::optional<StemPool> pool_of(const Problem& problem) {
  if (problem.max_pool == nullptr) return std::nullopt;
  const graph::Window& w = std::get<Pool>(problem.max_pool->op).window;
  return StemPool{w.kernel, w.stride, {w.pads[0], w.pads[1]}, pooled_shape(problem)[2], pooled_shape(problem)[3]};
}

std::optional<std::string> refuse_pool(const Problem& problem, const OutputActivation& activation) {
  const graph::Window& w = std::get<Pool>(problem.max_pool->op).window;
  if (w.dilation != std::array<std::int64_t, 2>{1, 1}) return "dilated pooling";
  if (w.kernel[0] > kStemMaxPool) return fmt::format("pools {} rows; up to {}", w.kernel[0], kStemMaxPool);
  if (activation.kind == OutputActivation::Kind::leaky && activation.alpha < 0) return "activation not monotone";
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t last = (pooled_shape(problem)[2 + axis] - 1) * w.stride[axis] - w.pads[axis];
    if (w.pads[axis] >= w.kernel[axis] || last >= problem.output_shape()[2 + axis]) return "a window lies in the padding alone";
  }
  return std::nullopt;
}

/// Relative L2 error, measured on normal data over 1 to 16 columns: it grows with their square root
/// (tests/runtime/cpu/stem_test.cpp bounds it).
double typical_error(const StemGeometry& g) { return 3e-7 * std::sqrt(static_cast<double>(g.columns())); }

std::optional<std::string> refuse_window(const Problem& problem) {
  const auto& conv = std::get<Conv>(problem.node.op);
  const graph::Window& w = conv.window;
  if (conv.group != 1) return "groups";
  if (w.dilation != std::array<std::int64_t, 2>{1, 1}) return "dilated";
  if (w.stride[0] != w.stride[1] || w.stride[0] > kStemMaxStride) return "stride neither 1 nor 2";
  if (w.pads[0] < 0 || w.pads[1] < 0) return "negative padding";
  const std::int64_t largest = kStemTile * w.stride[0];
  if (w.kernel[0] > largest || w.kernel[1] > largest) return fmt::format("kernel beyond {0}x{0}", largest);
  if (w.kernel[0] < w.stride[0] || w.kernel[1] < w.stride[0]) return "kernel smaller than the stride";
  return std::nullopt;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (problem.input_shape(0)[1] > kMaxChannels) return fmt::format("more than {} input channels", kMaxChannels);
  if (const auto reason = refuse_window(problem)) return reason;
  if (problem.constant(1) == nullptr) return "weights are not constant";
  if (problem.has_input(2) && problem.constant(2) == nullptr) return "bias is not constant";
  if (problem.has_input(3)) return "residual";
  if (!problem.env.options.winograd) return "Winograd is off";
  const auto activation = fused_activation(std::get<Conv>(problem.node.op).activation);
  if (!activation) return "activation without a kernel";
  const double error = typical_error(geometry_of(problem)), bound = problem.env.options.error_bound;
  if (error > bound) return fmt::format("relative error about {:.1e}, over the bound {:.1e}", error, bound);
  return problem.max_pool != nullptr ? refuse_pool(problem, *activation) : std::nullopt;
}

Cost predict(const Problem& problem) {
  return predict_stem(geometry_of(problem), pool_of(problem), problem.env.threads, problem.env.machine);
}

std::shared_ptr<const PackedStem> pack(const Problem& problem) {
  return problem.env.weights.get<PackedStem>(problem.node.name + "/stem", [&] {
    return pack_stem(*problem.constant(1), geometry_of(problem), stem_kernels().lanes);
  });
}

class StemStep : public Step {
 public:
  explicit StemStep(const Problem& problem)
      : convolution_(geometry_of(problem), pool_of(problem), pack(problem), stem_kernels(), problem.env.threads),
        bias_(padded_bias(problem)),
        activation_(*fused_activation(std::get<Conv>(problem.node.op).activation)) {}

  std::size_t workspace_bytes() const { return static_cast<std::size_t>(convolution_.workspace_floats()) * sizeof(float); }

  void run(const Arguments& arguments) override {
    convolution_.run({static_cast<const float*>(arguments.inputs[0]), bias_->data(), static_cast<float*>(arguments.outputs[0]),
                      activation_, static_cast<float*>(arguments.workspace)});
  }

 private:
  StemConvolution convolution_;
  std::shared_ptr<const AlignedFloats> bias_;
  OutputActivation activation_;
};

Implementation build(const Problem& problem) {
  Implementation result;
  result.name = fmt::format("cpu:stem_f4_{}{}", lower_case(stem_kernels().target), problem.max_pool != nullptr ? "+max_pool" : "");
  result.inputs = {Need::plain};
  result.inputs.resize(problem.node.inputs.size(), Need::none);
  result.output = Layout::blocked;
  result.pitched = true;
  auto step = std::make_unique<StemStep>(problem);
  result.workspace_bytes = step->workspace_bytes();
  result.weight_bytes = pack(problem)->byte_size() + padded_bias(problem)->byte_size();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel stem_kernel() { return {"cpu:stem", &refuse, &predict, &build, false, true}; }

}  // namespace wins::runtime::cpu
