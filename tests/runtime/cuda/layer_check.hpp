// A layer's graph in a session on the GPU, beside its float64 reference.
#pragma once

#include <cstdlib>

#include "contender.hpp"
#include "operator_net.hpp"

namespace wins::runtime::cuda_test {

/// Multiply-adds. The reference is plain loops: larger layers take it too long. WINS_TEST_LARGEST_LAYER sets less, for
/// tools that slow the GPU down.
inline std::int64_t largest_layer() {
  const char* text = std::getenv("WINS_TEST_LARGEST_LAYER");
  return text != nullptr ? std::strtoll(text, nullptr, 10) : 300'000'000;
}

/// What rounding may cost: of factors, and, in fp32, of sums of 9 C products of three parts each.
inline layers::Errors layer_bound(Precision precision) {
  switch (precision) {
    case Precision::fp32: return {2e-5, 4e-5};
    case Precision::tf32: return {2e-3, 4e-3};
    case Precision::fp16: return {2e-3, 4e-3};
    case Precision::bf16: return {1.6e-2, 3.2e-2};
  }
  return {};
}

inline std::vector<wins::Shape> shapes_of(const std::vector<Tensor>& tensors) {
  std::vector<wins::Shape> shapes;
  for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
  return shapes;
}

/// Expects output 0 within the bound of the precision; gives the plan that ran.
inline Plan run_layer(const layers::Layer& layer, const Tensor& reference, Precision precision, SessionOptions options) {
  options.backend = "cuda";
  options.precision = precision;
  Session session = Session::open(layer.graph, options);
  const Tensor output = session.run(layer.inputs).at(0);
  Plan plan = session.plan(shapes_of(layer.inputs));
  const layers::Errors errors = layers::errors_of(output, reference), bound = layer_bound(precision);
  EXPECT_LE(errors.relative_l2, bound.relative_l2) << plan.text();
  EXPECT_LE(errors.max, bound.max) << plan.text();
  return plan;
}

inline void expect_kernel(const Plan& plan, const std::string& node, const std::string& beginning) {
  EXPECT_EQ(kernel_of(plan, node).substr(0, beginning.size()), beginning) << plan.text();
}

}  // namespace wins::runtime::cuda_test
