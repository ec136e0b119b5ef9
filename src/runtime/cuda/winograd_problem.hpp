// What the Winograd kernels need of a WinogradConv, or of a dense Conv that they take as one.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "fused_activation.hpp"
#include "kernel.hpp"
#include "wins/winograd/mask.hpp"

namespace wins::runtime::cuda {

struct WinogradProblem {
  int m = 2, stride = 1;
  std::array<std::int64_t, 4> pads{};
  winograd::Mask mask;
  graph::Activation activation;
};

/// With its companion's filters; `m` is that of a Conv alone.
WinogradProblem winograd_problem(const Problem& problem, int m = 2);

/// Why no kernel for rows takes it: the mask, what Winograd refuses of a Conv, weights that are not constant, sizes.
std::optional<std::string> refuse_rows(const Problem& problem);

/// Why no kernel of tiles takes the max-pool behind it: its windows must be whole parts of tiles of outputs, 2x2 each. Nothing
/// where there is no pool.
std::optional<std::string> refuse_pool(const Problem& problem);

/// With its companion's filters. U [p * p, K, C], of a Conv computed in double and rounded once.
Tensor winograd_weights(const Problem& problem, int m = 2);
/// [K] of the same filters: zeros where one of two has no bias, null where a layer by itself has none.
std::shared_ptr<const DeviceBuffer> upload_winograd_bias(const Problem& problem);
/// For keys of what is made of them: "", or the companion's name.
std::string companion_suffix(const Problem& problem);

/// Shapes, pads, pitches and activation of a FusedLayer or StagedLayer.
template <class Layer>
void set_shapes(const Problem& problem, const WinogradProblem& given, Layer& layer) {
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  layer.batch = static_cast<std::int32_t>(in[0]);
  layer.channels = static_cast<std::int32_t>(in[1]);
  layer.height = static_cast<std::int32_t>(in[2]);
  layer.width = static_cast<std::int32_t>(in[3]);
  layer.filters = static_cast<std::int32_t>(out[1]);
  layer.out_height = static_cast<std::int32_t>(out[2]);
  layer.out_width = static_cast<std::int32_t>(out[3]);
  layer.pad_top = static_cast<std::int32_t>(given.pads[0]);
  layer.pad_left = static_cast<std::int32_t>(given.pads[1]);
  layer.input_pitch = static_cast<std::int32_t>(problem.inputs[0].pitch);
  layer.output_pitch = static_cast<std::int32_t>(problem.outputs[0].pitch);
  if (problem.has_input(3)) layer.residual_pitch = static_cast<std::int32_t>(problem.inputs[3].pitch);
  set_activation(given.activation, layer);
}

}  // namespace wins::runtime::cuda
