// Fully connected layers (weights packed once) and general matrix products, through oneDNN.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "dnnl_step.hpp"
#include "kernels.hpp"
#include "linear.hpp"

namespace wins::runtime::cpu {

using graph::Gemm;
using graph::MatMul;
using graph::UnaryKind;

Linear linear_of(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const Shape& w = problem.input_shape(1);
  Linear l{1, x.back(), 1, false, 1, 1, {}};
  l.rows = l.inputs == 0 ? 0 : element_count(x) / l.inputs;
  if (const auto* gemm = problem.node.as<Gemm>()) {
    l.transposed = gemm->trans_b;
    l.alpha = gemm->alpha;
    l.beta = gemm->beta;
    l.activation = gemm->activation;
  }
  l.outputs = l.transposed ? w.front() : w.back();
  return l;
}

std::optional<std::string> refuse_linear_form(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.constant(1) == nullptr) return "weights are not constant";
  if (problem.input_shape(1).size() != 2 || problem.input_shape(0).size() < 2)
    return "not a matrix of weights";
  if (element_count(problem.input_shape(0)) == 0) return "empty";
  const auto* gemm = problem.node.as<Gemm>();
  if (gemm == nullptr) return std::nullopt;
  if (gemm->trans_a) return "X is transposed";
  if (!problem.has_input(2)) return std::nullopt;
  const Tensor* c = problem.constant(2);
  if (c == nullptr) return "bias is not constant";
  const bool per_output =
      c->size() == problem.output_shape().back() && c->rank() > 0 && c->shape().back() == c->size();
  if (!per_output && c->size() != 1) return "bias is not one value for each output";
  return std::nullopt;
}

AlignedFloats scaled_bias(const Problem& problem, const Linear& l) {
  const auto given = problem.constant(2)->data<float>();
  AlignedFloats bias(l.outputs);
  for (std::int64_t i = 0; i < l.outputs; ++i) {
    bias.data()[i] = l.beta * given[given.size() == 1 ? 0 : static_cast<std::size_t>(i)];
  }
  return bias;
}

namespace {

std::optional<std::string> refuse_linear(const Problem& problem) {
  if (const auto reason = refuse_linear_form(problem)) return reason;
  const graph::Activation activation = linear_of(problem).activation;
  if (activation.kind != UnaryKind::identity && !dnnl_eltwise(activation)) return "activation not in oneDNN";
  return std::nullopt;
}

Cost predict_linear(const Problem& problem) {
  const Linear l = linear_of(problem);
  const auto m = static_cast<double>(l.rows), k = static_cast<double>(l.inputs),
             n = static_cast<double>(l.outputs);
  return predict_roofline(2 * m * k * n, 4 * (m * k + k * n + m * n), 0.6, problem.env.threads,
                          problem.env.machine);
}

AlignedFloats scaled_weights(const Problem& problem, const Linear& l, const dnnl::memory::desc& to) {
  using dims = dnnl::memory::dims;
  const dnnl::memory::desc from(dims{l.outputs, l.inputs}, dnnl::memory::data_type::f32,
                                l.transposed ? dims{l.inputs, 1} : dims{1, l.outputs});
  const auto given = problem.constant(1)->data<float>();
  if (l.alpha == 1) return reorder_constant(given.data(), from, to);
  std::vector<float> values(given.begin(), given.end());
  for (float& value : values) value *= l.alpha;
  return reorder_constant(values.data(), from, to);
}

Implementation build_linear(const Problem& problem) {
  const Linear l = linear_of(problem);
  const auto src = plain_desc({l.rows, l.inputs}), dst = plain_desc({l.rows, l.outputs});
  const bool has_bias = problem.has_input(2);
  const auto bias_desc = has_bias ? plain_desc({l.outputs}) : dnnl::memory::desc();
  const DnnlPlan plan = make_inner_product({src, any_desc({l.outputs, l.inputs}), bias_desc, dst},
                                           make_attributes(false, l.activation));
  const std::string key = fmt::format("{}/linear/{}", problem.node.name, format_text(plan.weights));
  const auto weights =
      problem.env.weights.get<AlignedFloats>(key, [&] { return scaled_weights(problem, l, plan.weights); });
  auto step = std::make_unique<DnnlStep>(plan);
  step->bind_input(DNNL_ARG_SRC, 0, src);
  step->bind_constant(DNNL_ARG_WEIGHTS, plan.weights, weights);
  if (has_bias) {
    const auto bias = problem.env.weights.get<AlignedFloats>(problem.node.name + "/linear/bias",
                                                             [&] { return scaled_bias(problem, l); });
    step->bind_constant(DNNL_ARG_BIAS, bias_desc, bias);
  }
  step->bind_output(DNNL_ARG_DST, 0, dst);
  Implementation result;
  result.name = fmt::format("cpu:linear:{}", plan.implementation);
  result.inputs = {Need::plain, Need::none, Need::none};
  result.inputs.resize(problem.node.inputs.size());
  result.workspace_bytes = step->workspace_bytes();
  result.weight_bytes = weights->byte_size();
  result.step = std::move(step);
  return result;
}

std::optional<std::string> refuse_matmul(const Problem& problem) {
  if (!problem.is_float()) return "not float32";
  if (problem.input_shape(0).size() < 2 || problem.input_shape(1).size() < 2) return "a vector operand";
  if (element_count(problem.output_shape()) == 0) return "empty";
  if (problem.constant(1) != nullptr && problem.input_shape(1).size() == 2)
    return "cpu:linear packs the weights";
  return std::nullopt;
}

Cost predict_matmul(const Problem& problem) {
  const double k = static_cast<double>(problem.input_shape(0).back());
  const double outputs = static_cast<double>(element_count(problem.output_shape()));
  return predict_roofline(2 * k * outputs, 4 * outputs, 0.5, problem.env.threads, problem.env.machine);
}

Shape with_rank(const Shape& shape, std::size_t rank) {
  Shape result(rank - shape.size(), 1);
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

Implementation build_matmul(const Problem& problem) {
  const std::size_t rank = problem.output_shape().size();
  const auto a = plain_desc(with_rank(problem.input_shape(0), rank));
  const auto b = plain_desc(with_rank(problem.input_shape(1), rank));
  const auto dst = plain_desc(problem.output_shape());
  const DnnlPlan plan = make_matmul({a, b, dnnl::memory::desc(), dst}, make_attributes(false, {}));
  auto step = std::make_unique<DnnlStep>(plan);
  step->bind_input(DNNL_ARG_SRC, 0, a);
  step->bind_input(DNNL_ARG_WEIGHTS, 1, b);
  step->bind_output(DNNL_ARG_DST, 0, dst);
  Implementation result;
  result.name = fmt::format("cpu:matmul:{}", plan.implementation);
  result.inputs = {Need::plain, Need::plain};
  result.workspace_bytes = step->workspace_bytes();
  result.step = std::move(step);
  return result;
}

}  // namespace

Kernel inner_product_kernel() {
  return {"cpu:linear", &refuse_linear, &predict_linear, &build_linear};
}
Kernel matmul_kernel() {
  return {"cpu:matmul", &refuse_matmul, &predict_matmul, &build_matmul};
}

}  // namespace wins::runtime::cpu
