#include "linear_layer.hpp"

namespace wins::runtime::cuda {

Linear linear_of(const Problem& problem) {
  if (const auto* gemm = problem.node.as<graph::Gemm>()) return {gemm->alpha, gemm->beta, gemm->trans_b, gemm->activation};
  return {};
}

std::optional<std::string> refuse_linear(const Problem& problem) {
  if (const auto* gemm = problem.node.as<graph::Gemm>(); gemm != nullptr && gemm->trans_a) return "its first matrix is transposed";
  if (problem.constant(1) == nullptr || problem.input_shape(1).size() != 2) return "its second matrix is not constant";
  if (problem.constant(0) != nullptr) return "its first matrix is constant";
  const Shape &in = problem.input_shape(0), &out = problem.output_shape();
  if (in.size() < 2 || in.size() == 4 || out.size() == 4) return "its first input is not a list of rows";
  if (element_count(in) == 0 || element_count(out) == 0) return "empty";
  // No other kernel takes such a problem, and cuBLAS may have none for rows that are no multiple of 16 bytes.
  if (problem.input_pixels > 1 && out.back() % problem.env.unit() != 0) return "its input lies by pixels";
  if (problem.has_input(2)) {
    const Tensor* bias = problem.constant(2);
    if (bias == nullptr) return "its bias is not constant";
    if (bias->size() != 1 && (bias->size() != out.back() || bias->shape().back() != out.back())) return "its bias is not a row";
  }
  return std::nullopt;
}

std::int64_t linear_rows(const Problem& problem) {
  const Shape& out = problem.output_shape();
  return element_count(out) / out.back();
}

Tensor linear_weights(const Problem& problem) {
  const Linear linear = linear_of(problem);
  const std::int64_t inner = problem.input_shape(0).back(), columns = problem.output_shape().back(), pixels = problem.input_pixels, channels = inner / pixels;
  Tensor weights(DType::f32, {columns, inner});
  const auto from = problem.constant(1)->data<float>();
  auto to = weights.mutable_data<float>();
  for (std::int64_t n = 0; n < columns; ++n) {
    std::int64_t k = 0;
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel, ++k) {
        to[static_cast<std::size_t>(n * inner + pixel * channels + channel)] = linear.alpha * from[static_cast<std::size_t>(linear.trans_b ? n * inner + k : k * columns + n)];
      }
    }
  }
  return weights;
}

std::string linear_key(const Problem& problem) { return problem.node.name + (problem.input_pixels > 1 ? "/linear/pixels" : "/linear"); }

Tensor linear_bias(const Problem& problem) {
  Tensor bias(DType::f32, {problem.output_shape().back()});
  if (const Tensor* given = problem.constant(2)) {
    const float beta = linear_of(problem).beta;
    const auto values = given->data<float>();
    auto row = bias.mutable_data<float>();
    for (std::size_t n = 0; n < row.size(); ++n) row[n] = beta * values[values.size() == 1 ? 0 : n];
  }
  return bias;
}

}  // namespace wins::runtime::cuda
