// A network's first convolution straight from its input, with the max-pool behind it.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "fused_activation.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "stem.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::Conv;
using graph::Pool;
using graph::UnaryKind;
using Pair = std::array<std::int64_t, 2>;

constexpr int kGridLimit = 65535;  ///< of the second and third dimension

const graph::Window& window_of(const Problem& problem) { return problem.node.as<Conv>()->window; }
const graph::Window& pool_window(const Problem& problem) { return problem.max_pool->as<Pool>()->window; }

StemLayer layer_of(const Problem& problem) {
  const auto as_int = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const Shape &in = problem.input_shape(0), &conv = problem.output_shape(), &out = problem.outputs[0].shape;
  StemLayer layer;
  layer.batch = as_int(in[0]);
  layer.channels = as_int(in[1]);
  layer.height = as_int(in[2]);
  layer.width = as_int(in[3]);
  layer.filters = as_int(conv[1]);
  layer.conv_height = as_int(conv[2]);
  layer.conv_width = as_int(conv[3]);
  layer.out_height = as_int(out[2]);
  layer.out_width = as_int(out[3]);
  layer.output_pitch = as_int(problem.outputs[0].pitch);
  layer.stride = as_int(window_of(problem).stride[0]);
  layer.pad_top = as_int(window_of(problem).pads[0]);
  layer.pad_left = as_int(window_of(problem).pads[1]);
  if (problem.max_pool != nullptr) {
    layer.pool = true;
    layer.pool_pad_top = as_int(pool_window(problem).pads[0]);
    layer.pool_pad_left = as_int(pool_window(problem).pads[1]);
  }
  const graph::Activation& f = problem.node.as<Conv>()->activation;
  if (f.kind == UnaryKind::relu) layer.low = 0;
  if (f.kind == UnaryKind::clip) std::tie(layer.low, layer.high) = std::tuple(f.alpha, f.beta);
  if (f.kind == UnaryKind::leaky_relu) layer.slope = f.alpha;
  return layer;
}

StemDevice here() { return {device().processors, device().shared_bytes, device().major == 9}; }

/// A layer cut for this device; a shape with rows of 0 when nothing fits.
struct CutLayer {
  StemLayer layer;
  StemShape shape;

  explicit CutLayer(const Problem& problem) : layer(layer_of(problem)) {
    const Pair& kernel = window_of(problem).kernel;
    const int columns = static_cast<int>(kernel[1]) + std::ranges::max(stem_shifts(layer));
    shape = cut_stem(layer, static_cast<int>(kernel[0]), columns, problem.env.operand, here());
  }
};

std::optional<std::string> refuse_window(const Problem& problem) {
  const auto& conv = *problem.node.as<Conv>();
  const graph::Window& window = conv.window;
  if (conv.group != 1) return "groups";
  if (window.dilation != Pair{1, 1}) return "dilated";
  if (window.stride != Pair{1, 1} && window.stride != Pair{2, 2}) return "stride is neither 1 nor 2";
  if (window.auto_pad != graph::AutoPad::none) return "auto_pad is not resolved";
  if (std::ranges::min(window.pads) < 0 || std::ranges::max(window.pads) > 1024) return "pads";
  // With stride 1 one of the two parities has a column of zeros in front.
  if (window.kernel[0] > 7 || window.kernel[1] + (window.stride[1] == 1 ? 1 : window.pads[1] % 2) > 8) return "kernel beyond 7x7";
  return std::nullopt;
}

std::optional<std::string> refuse_pool(const Problem& problem) {
  if (window_of(problem).stride != Pair{2, 2}) return "a pool behind a convolution of stride 1";
  const graph::Window& window = pool_window(problem);
  if (window.kernel != Pair{kPoolSize, kPoolSize} || window.stride != Pair{kPoolStride, kPoolStride} || window.dilation != Pair{1, 1}) {
    return "pools other than 3x3 with stride 2";
  }
  const Shape &conv = problem.output_shape(), &out = problem.outputs[0].shape;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (window.pads[axis] < 0 || window.pads[axis] > 1) return "pools with pads beyond 1";
    if ((out[2 + axis] - 1) * kPoolStride - window.pads[axis] >= conv[2 + axis]) return "a pooling window lies in the padding alone";
  }
  return std::nullopt;
}

std::optional<std::string> refuse(const Problem& problem) {
  if (!problem.host_input) return "does not read the network's input";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (problem.input_shape(0)[1] > kStemChannels) return fmt::format("more than {} input channels", kStemChannels);
  if (problem.has_input(3)) return "residual";
  if (auto reason = refuse_variable(problem, 1)) return reason;
  if (auto reason = refuse_window(problem)) return reason;
  const graph::Activation& activation = problem.node.as<Conv>()->activation;
  if (!in_epilogue(activation.kind)) return "activation that no epilogue has";
  if (activation.kind == UnaryKind::leaky_relu && (activation.alpha < 0 || activation.alpha > 1)) return "slope not between 0 and 1";
  if (problem.max_pool != nullptr) {
    if (auto reason = refuse_pool(problem)) return reason;
  }
  for (const Layout& layout : {problem.inputs[0], problem.outputs[0]}) {
    if (extent_of(layout) == 0) return "empty";
    if (extent_of(layout) > INT32_MAX) return "2^31 elements or more";
  }
  const CutLayer cut(problem);
  if (cut.shape.rows == 0) return "a block does not fit the device";
  if (cut.layer.batch > kGridLimit || cut.layer.grid_rows * cut.layer.grid_columns > kGridLimit) return "more images, or blocks of one, than a launch has";
  return std::nullopt;
}

double predict(const Problem& problem) {
  const CutLayer cut(problem);
  const double bytes = 4.0 * static_cast<double>(element_count(problem.input_shape(0))) +
                       static_cast<double>(extent_of(problem.outputs[0]) * problem.env.element_bytes());
  return std::max(predict_bytes(bytes), predict_stem(cut.layer, cut.shape, problem.env.operand, here()));
}

/// Everything that a launch needs.
struct Launch {
  Operand operand;
  CutLayer cut;
  std::shared_ptr<const DeviceBuffer> fragments, scales, bias;
};

Implementation build(const Problem& problem) {
  const Environment& env = problem.env;
  auto launch = std::make_shared<Launch>(Launch{env.operand, CutLayer(problem), nullptr, nullptr, nullptr});
  const StemShape shape = launch->cut.shape;
  const std::string key = fmt::format("{}/stem/{}x{}", problem.node.name, shape.rows, shape.steps);
  const auto pack = env.weights.get<StemPack>(key + "/pack", [&] {
    return pack_stem(*problem.constant(1), stem_shifts(launch->cut.layer), shape, env.operand);
  });
  launch->fragments = env.weights.get<DeviceBuffer>(key, [&] {
    return DeviceBuffer(pack->fragments.data(), pack->fragments.size() * sizeof(pack->fragments[0]));
  });
  if (!pack->scales.empty()) launch->scales = upload_floats(env, key + "/scales", pack->scales);
  launch->bias = upload_float_bias(problem);
  Implementation result;
  result.name = problem.max_pool != nullptr ? "cuda:stem+max_pool" : "cuda:stem";
  result.reads = reads_first(problem, 1);
  result.weights = {launch->fragments, launch->scales, launch->bias};
  result.asks_ahead = true;
  result.step = [launch](const Arguments& arguments) {
    const auto floats = [](const auto& buffer) { return buffer ? static_cast<const float*>(buffer->data()) : nullptr; };
    StemPointers pointers;
    pointers.input = static_cast<const float*>(arguments.inputs[0]);
    pointers.output = arguments.outputs[0];
    pointers.bias = floats(launch->bias);
    pointers.scales = floats(launch->scales);
    pointers.ahead = arguments.ahead;
    pointers.fragments = static_cast<const std::uint32_t*>(launch->fragments->data());
    if (!launch_stem(launch->operand, launch->cut.shape, launch->cut.layer, pointers, arguments.stream)) check(cudaGetLastError(), "the stem");
  };
  return result;
}

}  // namespace

Kernel stem_kernel() { return {.name = "cuda:stem", .refuse = refuse, .predict = predict, .build = build, .takes_max_pool = true, .reads_host = true}; }

}  // namespace wins::runtime::cuda
