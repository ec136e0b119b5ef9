// 1x1 convolutions and fully connected layers through cuBLASLt, with bias, residual and ReLU in its epilogue.
#include <algorithm>
#include <charconv>
#include <memory>

#include "activation_step.hpp"
#include "blas_product.hpp"
#include "kernels.hpp"
#include "linear_layer.hpp"
#include "problem_facts.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::UnaryKind;

double predict_product(const Environment& env, double rows, double inner, double columns, double outputs) {
  const double bytes = (rows * inner + outputs * rows * columns + inner * columns) * static_cast<double>(env.element_bytes());
  static constexpr LibraryTimes kF32{2.8, 20.5, 1.5, 7.8}, kTf32{4.6, 1.15, 1.07, 0.55}, k16{2.9, 0.53, 1.03, 0.54};
  const LibraryTimes& times = env.operand == Operand::f32 ? kF32 : env.operand == Operand::tf32 ? kTf32 : k16;
  return predict_library(times, rows * inner * columns, bytes, inner);
}

/// Problem::variant: a place in cuBLAS's heuristics.
std::vector<std::string> variants_of(const Problem& problem, const BlasShape& shape) {
  std::vector<std::string> variants;
  for (const int place : BlasProduct(problem.env.libraries.blas(), shape, problem.env.operand, nullptr).order()) variants.push_back(std::to_string(place));
  if (variants.empty()) variants.emplace_back();  // which cannot be built, and says why
  return variants;
}

std::unique_ptr<const BlasProduct> choose_product(const Problem& problem, const BlasShape& shape, const void* bias) {
  auto product = std::make_unique<BlasProduct>(problem.env.libraries.blas(), shape, problem.env.operand, bias);
  int place = -1;
  if (problem.variant.empty()) {
    if (const auto order = product->order(); !order.empty()) place = order[0];
  } else {
    const char* end = problem.variant.data() + problem.variant.size();
    const auto [stop, error] = std::from_chars(problem.variant.data(), end, place);
    require(error == std::errc{} && stop == end && place >= 0, "cuBLAS's algorithms have numbers, not '{}'", problem.variant);
  }
  product->choose(place);
  return product;
}

/// `weights` [columns][inner] and `bias` [columns] go to the device under `key`.
Implementation build_product(const Problem& problem, const BlasShape& shape, const std::string& key, const Tensor& weights, const Tensor& bias,
                             const graph::Activation& activation) {
  const Environment& env = problem.env;
  const auto matrix = upload(env, key, weights, plain_layout(weights.shape())), vector = upload(env, key + "/bias", bias, plain_layout(bias.shape()));
  std::shared_ptr<const BlasProduct> product = choose_product(problem, shape, vector->data());
  Step after;
  if (activation.kind != UnaryKind::identity && activation.kind != UnaryKind::relu) after = activation_step(env, problem.outputs[0], activation);
  Implementation result;
  result.name = fmt::format("cuda:cublas_{}", product->place());
  result.workspace_bytes = product->workspace_bytes();
  result.weights = {matrix, vector};
  result.step = [product, matrix, vector, after, residual = shape.residual_pitch > 0](const Arguments& arguments) {
    product->enqueue(matrix->data(), arguments.inputs[0], residual ? arguments.inputs[3] : nullptr, arguments.outputs[0], arguments.workspace, arguments.stream);
    if (after) after(arguments);
  };
  return result;
}

// ---------------------------------------------------------------------------------------------------
// 1x1 convolutions: the pixels are the rows.

std::optional<std::string> refuse_pointwise(const Problem& problem) {
  const auto& conv = *problem.node.as<graph::Conv>();
  if (conv.group != 1) return "groups";
  if (conv.window.kernel != std::array<std::int64_t, 2>{1, 1}) return "the kernel is not 1x1";
  if (conv.window.stride != std::array<std::int64_t, 2>{1, 1}) return "strides";
  if (std::ranges::any_of(conv.window.pads, [](std::int64_t pad) { return pad != 0; })) return "pads";
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  if (extent_of(problem.inputs[0]) == 0 || extent_of(problem.outputs[0]) == 0) return "empty";
  return std::nullopt;
}

std::int64_t pixels_of(const Problem& problem) {
  const Shape& out = problem.output_shape();
  return out[0] * out[2] * out[3];
}

double predict_pointwise(const Problem& problem) {
  return predict_product(problem.env, static_cast<double>(pixels_of(problem)), static_cast<double>(problem.input_shape(0)[1]),
                         static_cast<double>(problem.output_shape()[1]), problem.has_input(3) ? 2 : 1);
}

BlasShape shape_of_pointwise(const Problem& problem) {
  const std::int64_t unit = problem.env.unit();
  BlasShape p;
  p.rows = pixels_of(problem);
  p.inner = (problem.input_shape(0)[1] + unit - 1) / unit * unit;
  p.columns = (problem.output_shape()[1] + unit - 1) / unit * unit;
  p.input_pitch = problem.inputs[0].pitch;
  p.output_pitch = problem.outputs[0].pitch;
  if (problem.has_input(3)) p.residual_pitch = problem.inputs[3].pitch;
  p.relu = problem.node.as<graph::Conv>()->activation.kind == UnaryKind::relu;
  return p;
}

std::vector<std::string> pointwise_variants(const Problem& problem) { return variants_of(problem, shape_of_pointwise(problem)); }

Implementation build_pointwise(const Problem& problem) {
  const std::int64_t C = problem.input_shape(0)[1], K = problem.output_shape()[1];
  const BlasShape p = shape_of_pointwise(problem);
  Tensor weights(DType::f32, {p.columns, p.inner}), bias(DType::f32, {p.columns});
  const auto from = problem.constant(1)->data<float>();
  auto to = weights.mutable_data<float>();
  for (std::int64_t k = 0; k < K; ++k) std::copy_n(&from[static_cast<std::size_t>(k * C)], C, &to[static_cast<std::size_t>(k * p.inner)]);
  if (const Tensor* given = problem.constant(2)) std::ranges::copy(given->data<float>(), bias.mutable_data<float>().begin());
  Implementation result = build_product(problem, p, problem.node.name + "/blas", weights, bias, problem.node.as<graph::Conv>()->activation);
  result.reads = reads_of_convolution(problem);
  return result;
}

// ---------------------------------------------------------------------------------------------------
// Fully connected layers.

double predict_linear(const Problem& problem) {
  return predict_product(problem.env, static_cast<double>(linear_rows(problem)), static_cast<double>(problem.input_shape(0).back()),
                         static_cast<double>(problem.output_shape().back()), 1);
}

Implementation build_linear(const Problem& problem) {
  BlasShape p;
  p.inner = problem.input_shape(0).back();
  p.columns = problem.output_shape().back();
  p.rows = linear_rows(problem);
  p.input_pitch = p.inner;
  p.output_pitch = p.columns;
  const graph::Activation activation = linear_of(problem).activation;
  p.relu = activation.kind == UnaryKind::relu;
  Implementation result = build_product(problem, p, linear_key(problem), linear_weights(problem), linear_bias(problem), activation);
  result.reads = reads_first(problem, 1);
  return result;
}

}  // namespace

Kernel pointwise_kernel() { return {"cuda:pointwise", refuse_pointwise, predict_pointwise, build_pointwise, pointwise_variants}; }
Kernel linear_kernel() { return {.name = "cuda:linear", .refuse = refuse_linear, .predict = predict_linear, .build = build_linear, .takes_pixels = true}; }

}  // namespace wins::runtime::cuda
