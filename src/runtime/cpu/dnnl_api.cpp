#include "dnnl_api.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>

#include "wins/base/error.hpp"

namespace wins::runtime::cpu {
namespace {

using dnnl::algorithm;
using dnnl::memory;

constexpr auto kInference = dnnl::prop_kind::forward_inference;

memory::dims to_dims(const Shape& shape) {
  return shape.empty() ? memory::dims{1} : memory::dims(shape);
}

template <class Description>
DnnlPlan plan_of(const Description& description) {
  return {{}, description.weights_desc(), description.scratchpad_desc(), description.impl_info_str()};
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

struct WindowDims {
  memory::dims stride, kernel, dilation, before, after;
  explicit WindowDims(const DnnlWindow& w)
      : stride{w.stride[0], w.stride[1]},
        kernel{w.kernel[0], w.kernel[1]},
        dilation{w.dilation[0] - 1, w.dilation[1] - 1},
        before{w.pads[0], w.pads[1]},
        after{w.pads[2], w.pads[3]} {}
};

#if DNNL_VERSION_MAJOR >= 3
constexpr auto kHardSwish = DnnlEltwise{algorithm::eltwise_hardswish, 1.0F / 6.0F, 0.5F};

void append_eltwise(dnnl::post_ops& ops, const DnnlEltwise& f) {
  ops.append_eltwise(f.algorithm, f.alpha, f.beta);
}

template <class Primitive, class... Args>
auto describe(const dnnl::primitive_attr& attr, const Args&... args) {
  return typename Primitive::primitive_desc(dnnl_engine(), args..., attr);
}
#else
constexpr auto kHardSwish = DnnlEltwise{algorithm::eltwise_hardswish, 0, 0};

void append_eltwise(dnnl::post_ops& ops, const DnnlEltwise& f) {
  ops.append_eltwise(1.0F, f.algorithm, f.alpha, f.beta);
}

template <class Primitive, class... Args>
auto describe(const dnnl::primitive_attr& attr, const Args&... args) {
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attr, dnnl_engine());
}
#endif

template <class Primitive, class... Args>
DnnlPlan make_weighted(const dnnl::primitive_attr& attr, const Args&... args) {
  const auto description = describe<Primitive>(attr, args...);
  DnnlPlan plan = plan_of(description);
  plan.primitive = Primitive(description);
  return plan;
}

template <class Primitive, class Description>
DnnlPlan make_plain(const Description& description) {
  return {Primitive(description), {}, description.scratchpad_desc(), description.impl_info_str()};
}

}  // namespace

const dnnl::engine& dnnl_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::desc plain_desc(const Shape& shape) {
  const memory::dims dims = to_dims(shape);
  memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * dims[i + 1];
  return memory::desc(dims, memory::data_type::f32, strides);
}

memory::desc strided_desc(const Shape& shape, const Shape& strides) {
  return memory::desc(to_dims(shape), memory::data_type::f32, memory::dims(strides));
}

memory::desc blocked_desc(const Shape& shape, int block) {
  require(shape.size() == 4 && (block == 8 || block == 16), "cpu: {} cannot be blocked by {}",
          to_string(shape), block);
  return memory::desc(to_dims(shape), memory::data_type::f32,
                      block == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c);
}

memory::desc any_desc(const Shape& shape) {
  return memory::desc(to_dims(shape), memory::data_type::f32, memory::format_tag::any);
}

std::string format_text(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return fmt::format("{}{}{}{}{}", fmt::join(desc.get_padded_dims(), "x"), desc.get_strides(),
                     desc.get_inner_blks(), desc.get_inner_idxs(), desc.get_size());
#else
  const auto& blocking = desc.data.format_desc.blocking;
  const auto rank = static_cast<std::size_t>(desc.data.ndims),
             inner = static_cast<std::size_t>(blocking.inner_nblks);
  return fmt::format("{}{}{}{}{}", fmt::join(std::span(desc.data.padded_dims, rank), "x"),
                     std::span(blocking.strides, rank), std::span(blocking.inner_blks, inner),
                     std::span(blocking.inner_idxs, inner), desc.get_size());
#endif
}

std::optional<DnnlEltwise> dnnl_eltwise(const graph::Activation& activation) {
  using graph::UnaryKind;
  switch (activation.kind) {
    case UnaryKind::relu:
      return DnnlEltwise{algorithm::eltwise_relu, 0, 0};
    case UnaryKind::leaky_relu:
      return DnnlEltwise{algorithm::eltwise_relu, activation.alpha, 0};
    case UnaryKind::clip:
      return DnnlEltwise{algorithm::eltwise_clip, activation.alpha, activation.beta};
    case UnaryKind::sigmoid:
      return DnnlEltwise{algorithm::eltwise_logistic, 0, 0};
    case UnaryKind::tanh:
      return DnnlEltwise{algorithm::eltwise_tanh, 0, 0};
    case UnaryKind::elu:
      return DnnlEltwise{algorithm::eltwise_elu, activation.alpha, 0};
    case UnaryKind::silu:
      return DnnlEltwise{algorithm::eltwise_swish, 1, 0};
    case UnaryKind::gelu:
      return DnnlEltwise{algorithm::eltwise_gelu_erf, 0, 0};
    case UnaryKind::gelu_tanh:
      return DnnlEltwise{algorithm::eltwise_gelu_tanh, 0, 0};
    case UnaryKind::mish:
      return DnnlEltwise{algorithm::eltwise_mish, 0, 0};
    case UnaryKind::hard_swish:
      return kHardSwish;
    case UnaryKind::exp:
      return DnnlEltwise{algorithm::eltwise_exp, 0, 0};
    case UnaryKind::sqrt:
      return DnnlEltwise{algorithm::eltwise_sqrt, 0, 0};
    case UnaryKind::abs:
      return DnnlEltwise{algorithm::eltwise_abs, 0, 0};
    case UnaryKind::neg:
      return DnnlEltwise{algorithm::eltwise_linear, -1, 0};
    default:
      return std::nullopt;
  }
}

dnnl::primitive_attr make_attributes(bool sum, const graph::Activation& activation) {
  dnnl::primitive_attr attr = user_scratchpad();
  dnnl::post_ops ops;
  if (sum) ops.append_sum(1.0F);
  if (const auto function = dnnl_eltwise(activation)) append_eltwise(ops, *function);
  attr.set_post_ops(ops);
  return attr;
}

DnnlPlan make_convolution(const DnnlOperands& o, const DnnlWindow& window, const dnnl::primitive_attr& attr) {
  const WindowDims w(window);
  return make_weighted<dnnl::convolution_forward>(attr, kInference, algorithm::convolution_direct, o.src,
                                                  o.weights, o.bias, o.dst, w.stride, w.dilation, w.before,
                                                  w.after);
}

DnnlPlan make_deconvolution(const DnnlOperands& o, const DnnlWindow& window,
                            const dnnl::primitive_attr& attr) {
  const WindowDims w(window);
  return make_weighted<dnnl::deconvolution_forward>(attr, kInference, algorithm::deconvolution_direct, o.src,
                                                    o.weights, o.bias, o.dst, w.stride, w.dilation, w.before,
                                                    w.after);
}

DnnlPlan make_inner_product(const DnnlOperands& o, const dnnl::primitive_attr& attr) {
  return make_weighted<dnnl::inner_product_forward>(attr, kInference, o.src, o.weights, o.bias, o.dst);
}

DnnlPlan make_matmul(const DnnlOperands& o, const dnnl::primitive_attr& attr) {
  return make_weighted<dnnl::matmul>(attr, o.src, o.weights, o.bias, o.dst);
}

DnnlPlan make_pooling(algorithm kind, const memory::desc& src, const memory::desc& dst,
                      const DnnlWindow& window) {
  const WindowDims w(window);
#if DNNL_VERSION_MAJOR >= 3
  return make_plain<dnnl::pooling_forward>(describe<dnnl::pooling_forward>(
      user_scratchpad(), kInference, kind, src, dst, w.stride, w.kernel, w.dilation, w.before, w.after));
#else
  return make_plain<dnnl::pooling_forward>(describe<dnnl::pooling_forward>(
      user_scratchpad(), kInference, kind, src, dst, w.stride, w.kernel, w.before, w.after));
#endif
}

DnnlPlan make_eltwise(const DnnlEltwise& f, const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return make_plain<dnnl::eltwise_forward>(describe<dnnl::eltwise_forward>(
      user_scratchpad(), kInference, f.algorithm, desc, desc, f.alpha, f.beta));
#else
  return make_plain<dnnl::eltwise_forward>(
      describe<dnnl::eltwise_forward>(user_scratchpad(), kInference, f.algorithm, desc, f.alpha, f.beta));
#endif
}

DnnlPlan make_softmax(const memory::desc& desc, int axis, bool log) {
#if DNNL_VERSION_MAJOR >= 3
  return make_plain<dnnl::softmax_forward>(describe<dnnl::softmax_forward>(
      user_scratchpad(), kInference, log ? algorithm::softmax_log : algorithm::softmax_accurate, desc, desc,
      axis));
#else
  if (log) {
    return make_plain<dnnl::logsoftmax_forward>(
        describe<dnnl::logsoftmax_forward>(user_scratchpad(), kInference, desc, axis));
  }
  return make_plain<dnnl::softmax_forward>(
      describe<dnnl::softmax_forward>(user_scratchpad(), kInference, desc, axis));
#endif
}

DnnlPlan make_layer_norm(const memory::desc& desc, float epsilon, bool shift) {
  dnnl::normalization_flags flags = dnnl::normalization_flags::use_scale;
  if (shift) flags |= dnnl::normalization_flags::use_shift;
#if DNNL_VERSION_MAJOR >= 3
  return make_plain<dnnl::layer_normalization_forward>(describe<dnnl::layer_normalization_forward>(
      user_scratchpad(), kInference, desc, desc, epsilon, flags));
#else
  return make_plain<dnnl::layer_normalization_forward>(
      describe<dnnl::layer_normalization_forward>(user_scratchpad(), kInference, desc, epsilon, flags));
#endif
}

DnnlPlan make_lrn(const memory::desc& desc, const graph::Lrn& lrn) {
#if DNNL_VERSION_MAJOR >= 3
  return make_plain<dnnl::lrn_forward>(describe<dnnl::lrn_forward>(user_scratchpad(), kInference,
                                                                   algorithm::lrn_across_channels, desc, desc,
                                                                   lrn.size, lrn.alpha, lrn.beta, lrn.bias));
#else
  return make_plain<dnnl::lrn_forward>(describe<dnnl::lrn_forward>(user_scratchpad(), kInference,
                                                                   algorithm::lrn_across_channels, desc,
                                                                   lrn.size, lrn.alpha, lrn.beta, lrn.bias));
#endif
}

DnnlPlan make_reorder(const memory::desc& from, const memory::desc& to) {
  const dnnl::reorder::primitive_desc description(dnnl_engine(), from, dnnl_engine(), to, user_scratchpad());
  return make_plain<dnnl::reorder>(description);
}

}  // namespace wins::runtime::cpu
