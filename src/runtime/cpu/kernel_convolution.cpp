// Direct and transposed convolution through oneDNN.
#include <fmt/format.h>

#include <algorithm>

#include "dnnl_step.hpp"
#include "kernels.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Conv;
using graph::ConvTranspose;
using graph::UnaryKind;

/// Inputs of so few channels are read as they come; blocks would be mostly padding.
constexpr std::int64_t kFewChannels = 4;

dnnl::memory::desc desc_of(const Problem& problem, const Shape& shape, Layout layout) {
  return layout == Layout::plain ? plain_desc(shape) : blocked_desc(shape, problem.env.block);
}

DnnlWindow window_of(const graph::Window& w) {
  return {w.stride, w.kernel, w.dilation, w.pads};
}

/// ONNX weights under the dimensions that oneDNN expects: grouped ones have a leading extent.
Shape conv_weight_shape(const Shape& w, std::int64_t group) {
  return group == 1 ? w : Shape{group, w[0] / group, w[1], w[2], w[3]};
}

/// [C, K/g, kh, kw] of a ConvTranspose seen as [(g), K/g, C/g, kh, kw], in place.
dnnl::memory::desc transposed_weights(const Shape& w, std::int64_t group) {
  using dims = dnnl::memory::dims;
  const std::int64_t area = w[2] * w[3], outputs = w[1], inputs = w[0] / group;
  const auto type = dnnl::memory::data_type::f32;
  if (group == 1) {
    return {dims{outputs, inputs, w[2], w[3]}, type, dims{area, outputs * area, w[3], 1}};
  }
  return {dims{group, outputs, inputs, w[2], w[3]}, type,
          dims{inputs * outputs * area, area, outputs * area, w[3], 1}};
}

std::int64_t plain_image_count(const Shape& shape) {
  return shape[1] * shape[2] * shape[3];
}

struct Layouts {
  Layout source, target;
  bool by_image = false;  ///< one image at a time, so that they need not be next to each other
};

/// What the convolution and the deconvolution have in common.
struct Layer {
  const Problem& problem;
  Shape weight_shape;  ///< as oneDNN sees it
  dnnl::memory::desc given_weights;
  DnnlWindow window;
  graph::Activation activation;
  bool transposed = false;

  dnnl::memory::desc source(Layouts layouts) const {
    return desc_of(problem, seen(problem.input_shape(0), layouts), layouts.source);
  }
  dnnl::memory::desc target(Layouts layouts) const {
    return desc_of(problem, seen(problem.output_shape(), layouts), layouts.target);
  }
  static Shape seen(Shape shape, Layouts layouts) {
    if (layouts.by_image) shape[0] = 1;
    return shape;
  }

  DnnlPlan plan(Layouts layouts) const {
    const auto src = source(layouts), dst = target(layouts);
    const auto bias = problem.has_input(2) ? plain_desc({problem.output_shape()[1]}) : dnnl::memory::desc();
    const DnnlOperands operands{src, any_desc(weight_shape), bias, dst};
    const auto attributes = make_attributes(problem.has_input(3), activation);
    return transposed ? make_deconvolution(operands, window, attributes)
                      : make_convolution(operands, window, attributes);
  }
};

/// Elements of the parts of larger values that the layer reads or writes in blocks.
std::int64_t part_elements(const Problem& problem, Layouts layouts) {
  std::int64_t count = 0;
  const auto add = [&](const Shape& shape, std::int64_t pitch) {
    if (pitch != image_count(shape, problem.env.block)) count += element_count(shape);
  };
  if (layouts.source == Layout::blocked) add(problem.input_shape(0), problem.input_pitches[0]);
  if (problem.has_input(3)) add(problem.input_shape(3), problem.input_pitches[3]);
  add(problem.output_shape(), problem.output_pitches[0]);
  return count;
}

/// Image by image a layer starts the team and reads its weights as many times, but its parts of
/// larger values need no copies.
bool image_by_image(const Problem& problem, Layouts layouts) {
  const std::int64_t parts = part_elements(problem, layouts);
  if (parts == 0 || layouts.target == Layout::plain) return false;
  const Machine& machine = problem.env.machine;
  const double weights = 4.0 * static_cast<double>(element_count(problem.input_shape(1)));
  const double again = machine.fork_us + weights / machine.bytes_per_us;
  const double copies = predict_roofline(0, 8.0 * static_cast<double>(parts), 1, problem.env.threads, machine).us;
  return static_cast<double>(problem.output_shape()[0] - 1) * again < copies;
}

bool is_reference(const DnnlPlan& plan) {
  return plan.implementation.starts_with("ref") || plan.implementation.starts_with("simple");
}

/// Image by image where that pays and is the same implementation, or verifying the layer alone would
/// check another one.
std::pair<DnnlPlan, Layouts> by_image_or_whole(const Layer& layer, DnnlPlan whole, Layouts layouts) {
  if (!image_by_image(layer.problem, layouts)) return {std::move(whole), layouts};
  Layouts single = layouts;
  single.by_image = true;
  DnnlPlan one = layer.plan(single);
  if (one.implementation != whole.implementation) return {std::move(whole), layouts};
  return {std::move(one), single};
}

/// The formats with the best implementation: blocks, unless oneDNN has nothing but reference code
/// for them.
std::pair<DnnlPlan, Layouts> choose_layouts(const Layer& layer) {
  const Layouts layouts{layer.problem.input_shape(0)[1] <= kFewChannels ? Layout::plain : Layout::blocked,
                        Layout::blocked};
  const Layouts plain{Layout::plain, Layout::plain};
  std::optional<DnnlPlan> plan;
  try {
    plan = layer.plan(layouts);
  } catch (const dnnl::error&) {
    plan.reset();
  }
  if (plan && !is_reference(*plan)) return by_image_or_whole(layer, std::move(*plan), layouts);
  DnnlPlan other = layer.plan(plain);
  if (plan && other.implementation.starts_with("ref")) return {std::move(*plan), layouts};
  return {std::move(other), plain};
}

Implementation build(const Layer& layer, std::string_view name) {
  const Problem& problem = layer.problem;
  const auto [plan, layouts] = choose_layouts(layer);

  Implementation result;
  result.name = fmt::format("{}:{}", name, plan.implementation);
  result.inputs = {need(layouts.source), Need::none, Need::none, need(layouts.target)};
  result.inputs.resize(problem.node.inputs.size());
  result.output = layouts.target;
  result.pitched = result.by_image = layouts.by_image;

  const dnnl::memory::desc weights_desc = plan.weights;
  const std::string key = fmt::format("{}/dnnl/{}", problem.node.name, format_text(weights_desc));
  const auto weights = problem.env.weights.get<AlignedFloats>(key, [&] {
    return reorder_constant(problem.constant(1)->data<float>().data(), layer.given_weights, weights_desc);
  });
  auto step = std::make_unique<DnnlStep>(plan);
  const bool blocked = layouts.source == Layout::blocked;
  step->bind_input(DNNL_ARG_SRC, 0, layer.source(layouts),
                   blocked ? problem.input_pitches[0] : plain_image_count(problem.input_shape(0)));
  step->bind_constant(DNNL_ARG_WEIGHTS, weights_desc, weights);
  result.weight_bytes = weights->byte_size();
  if (problem.has_input(2)) {
    const auto desc = plain_desc({problem.output_shape()[1]});
    const auto bias = problem.env.weights.get<AlignedFloats>(problem.node.name + "/dnnl/bias", [&] {
      return reorder_constant(problem.constant(2)->data<float>().data(), desc, desc);
    });
    step->bind_constant(DNNL_ARG_BIAS, desc, bias);
    result.weight_bytes += bias->byte_size();
  }
  const auto target = layer.target(layouts);
  step->bind_output(DNNL_ARG_DST, 0, target, problem.output_pitches[0]);
  if (problem.has_input(3)) {
    step->copy_first({3, 0, target.get_size(), problem.input_pitches[3], problem.output_pitches[0]});
    result.in_place = 3;
  }
  if (layouts.by_image) step->repeat(problem.output_shape()[0]);
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

std::optional<std::string> refuse_common(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() != 4) return "not two-dimensional";
  if (problem.constant(1) == nullptr) return "weights are not constant";
  if (problem.has_input(2) && problem.constant(2) == nullptr) return "bias is not constant";
  return std::nullopt;
}

std::optional<std::string> refuse_convolution(const Problem& problem) {
  const auto* conv = problem.node.as<Conv>();
  if (conv == nullptr) return "carried in the Winograd domain";
  if (conv->activation.kind != UnaryKind::identity && !dnnl_eltwise(conv->activation))
    return "activation not in oneDNN";
  return refuse_common(problem);
}

/// Multiply-adds of the layer, from its output and its weights.
double layer_flops(const Problem& problem, const Shape& pixels) {
  const Shape& w = problem.input_shape(1);
  return 2.0 * static_cast<double>(w[0] * w[1] * w[2] * w[3]) *
         static_cast<double>(pixels[0] * pixels[2] * pixels[3]);
}

double layer_bytes(const Problem& problem) {
  return 4.0 *
         static_cast<double>(element_count(problem.input_shape(0)) + element_count(problem.input_shape(1)) +
                             element_count(problem.output_shape()));
}

Cost predict_convolution(const Problem& problem) {
  const auto& conv = std::get<Conv>(problem.node.op);
  const bool depthwise = conv.group > 1;
  return predict_roofline(layer_flops(problem, problem.output_shape()), layer_bytes(problem),
                          depthwise ? 0.25 : 0.8, problem.env.threads, problem.env.machine);
}

Implementation build_convolution(const Problem& problem) {
  const auto& conv = std::get<Conv>(problem.node.op);
  const Shape shape = conv_weight_shape(problem.input_shape(1), conv.group);
  return build({problem, shape, plain_desc(shape), window_of(conv.window), conv.activation, false},
               "cpu:direct");
}

std::optional<std::string> refuse_deconvolution(const Problem& problem) {
  const auto& op = std::get<ConvTranspose>(problem.node.op);
  if (!op.output_shape.empty()) return "explicit output extents";
  return refuse_common(problem);
}

Cost predict_deconvolution(const Problem& problem) {
  return predict_roofline(layer_flops(problem, problem.input_shape(0)), layer_bytes(problem), 0.5,
                          problem.env.threads, problem.env.machine);
}

Implementation build_deconvolution(const Problem& problem) {
  const auto& op = std::get<ConvTranspose>(problem.node.op);
  const Shape& w = problem.input_shape(1);
  const std::int64_t inputs = w[0] / op.group;
  const Shape shape =
      op.group == 1 ? Shape{w[1], inputs, w[2], w[3]} : Shape{op.group, w[1], inputs, w[2], w[3]};
  DnnlWindow window = window_of(op.window);
  // Output padding lengthens the output, hence shortens the padding after.
  for (std::size_t i = 0; i < 2; ++i) window.pads[2 + i] -= op.output_padding[i];
  return build({problem, shape, transposed_weights(w, op.group), window, {}, true}, "cpu:deconvolution");
}

}  // namespace

Kernel direct_convolution_kernel() {
  return {"cpu:direct", &refuse_convolution, &predict_convolution, &build_convolution};
}

Kernel deconvolution_kernel() {
  return {"cpu:deconvolution", &refuse_deconvolution, &predict_deconvolution, &build_deconvolution};
}

}  // namespace wins::runtime::cpu
