#include "product_problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "fused_activation.hpp"

namespace wins::runtime::cuda {

std::optional<std::string> refuse_product(const Problem& problem) {
  const auto& conv = *problem.node.as<graph::Conv>();
  if (conv.group != 1) return "groups";
  if (conv.window.auto_pad != graph::AutoPad::none) return "auto_pad is not resolved";
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  const Shape& out = problem.output_shape();
  if (extent_of(problem.inputs[0]) == 0 || extent_of(problem.outputs[0]) == 0) return "empty";
  const Shape& in = problem.input_shape(0);
  if (out[0] * out[2] * out[3] > INT32_MAX - 128 || in[0] * in[2] * in[3] > INT32_MAX / 2) return "2^30 pixels or more";
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t span = (conv.window.kernel[axis] - 1) * conv.window.dilation[axis] + conv.window.pads[axis];
    if (in[axis + 2] > kMaxProductExtent || span > kMaxProductExtent) return fmt::format("more than {} rows or columns", kMaxProductExtent);
  }
  if (out[1] > 65535 * 32) return "too many filters";
  return std::nullopt;
}

std::optional<std::string> refuse_pointwise(const graph::Conv& conv, std::int64_t stride) {
  if (conv.window.kernel != std::array<std::int64_t, 2>{1, 1}) return "the kernel is not 1x1";
  if (std::ranges::any_of(conv.window.pads, [](std::int64_t pad) { return pad != 0; })) return "pads";
  if (std::ranges::any_of(conv.window.stride, [stride](std::int64_t s) { return s > stride; })) return fmt::format("a stride above {}", stride);
  return std::nullopt;
}

ProductLayer product_layer(const Problem& problem) {
  const auto& window = problem.node.as<graph::Conv>()->window;
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  const auto as_int = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  ProductLayer layer;
  layer.batch = as_int(in[0]);
  layer.height = as_int(in[2]);
  layer.width = as_int(in[3]);
  layer.filters = as_int(out[1]);
  layer.out_height = as_int(out[2]);
  layer.out_width = as_int(out[3]);
  layer.kernel_rows = as_int(window.kernel[0]);
  layer.kernel_columns = as_int(window.kernel[1]);
  layer.stride_y = as_int(window.stride[0]);
  layer.stride_x = as_int(window.stride[1]);
  layer.dilation_y = as_int(window.dilation[0]);
  layer.dilation_x = as_int(window.dilation[1]);
  layer.pad_top = as_int(window.pads[0]);
  layer.pad_left = as_int(window.pads[1]);
  layer.input_pitch = as_int(problem.inputs[0].pitch);
  layer.output_pitch = as_int(problem.outputs[0].pitch);
  if (problem.has_input(3)) layer.residual_pitch = as_int(problem.inputs[3].pitch);
  set_activation(problem.node.as<graph::Conv>()->activation, layer);
  layer.by_out_image = Divisor(out[2] * out[3]);
  layer.by_out_width = Divisor(out[3]);
  if (const Layout* to = problem.tiles_to) {
    layer.part = layer.filters / 4;
    layer.part_channels = as_int(to->shape[1]);
    layer.tiled_height = as_int(to->shape[2]);
    layer.tiled_width = as_int(to->shape[3]);
    layer.output_pitch = as_int(to->pitch);
  }
  return layer;
}

ProductPointers product_pointers(const Arguments& arguments, bool residual, const std::shared_ptr<const DeviceBuffer>& bias) {
  ProductPointers pointers;
  pointers.input = arguments.inputs[0];
  pointers.output = arguments.outputs[0];
  pointers.residual = residual ? arguments.inputs[3] : nullptr;
  pointers.bias = bias ? static_cast<const float*>(bias->data()) : nullptr;
  return pointers;
}

std::int64_t input_units(const Problem& problem) { return (problem.input_shape(0)[1] + problem.env.unit() - 1) / problem.env.unit(); }

PackedFilters packed_filters(const Problem& problem) {
  const Environment& env = problem.env;
  const std::string key = problem.node.name + "/implicit";
  PackedFilters filters;
  filters.pack = env.weights.get<FilterPack>(key + "/pack", [&] { return pack_filters(*problem.constant(1), env.operand); });
  const std::vector<std::uint32_t>& words = filters.pack->matrices;
  filters.buffer = env.weights.get<DeviceBuffer>(key, [&] { return DeviceBuffer(words.data(), words.size() * sizeof(words[0])); });
  return filters;
}

std::string prologue_suffix(const Problem& problem) {
  if (problem.prologue.norm == nullptr) return "";
  return problem.prologue.relu != nullptr ? "+norm+relu" : "+norm";
}

double product_bytes(const Problem& problem) {
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  // Of the values alone: a part of a larger one must run the same kernel as the layer by itself.
  std::int64_t elements = element_count(in) + element_count(out) + element_count(problem.constant(1)->shape());
  if (problem.has_input(3)) elements += element_count(out);
  return static_cast<double>(elements * problem.env.element_bytes());
}

}  // namespace wins::runtime::cuda
