// The optimisers against their formulas in plain double arithmetic.
#include "optimizer.hpp"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>

#include "wins/base/error.hpp"

namespace wins::training {
namespace {

constexpr double kRate = 0.01;
constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kDecay = 0.1;

/// Three weights, the last one pruned.
std::vector<Parameter> three_weights() {
  Parameter parameter;
  parameter.name = "u";
  parameter.value = at::tensor({1.0F, -2.0F, 0.0F}).set_requires_grad(true);
  parameter.mask = at::tensor({1.0F, 1.0F, 0.0F});
  parameter.decays = true;
  return {parameter};
}

float gradient_of(int step, int i) { return static_cast<float>(std::sin(step * 3 + i) * (i + 1)); }

void set_gradient(Parameter& parameter, int step) {
  parameter.value.mutable_grad() = at::tensor({gradient_of(step, 0), gradient_of(step, 1), gradient_of(step, 2)});
}

TEST(AdamW, FollowsTheFormulaAndKeepsPrunedWeightsAtZero) {
  std::vector<Parameter> parameters = three_weights();
  AdamW optimizer(parameters, kBeta1, kDecay);
  double w[2] = {1, -2}, m[2] = {0, 0}, v[2] = {0, 0};
  for (int step = 0; step < 20; ++step) {
    set_gradient(parameters[0], step);
    optimizer.step(kRate, step);
    for (int i = 0; i < 2; ++i) {
      const double g = gradient_of(step, i);
      m[i] = kBeta1 * m[i] + (1 - kBeta1) * g;
      v[i] = kBeta2 * v[i] + (1 - kBeta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(kBeta1, step + 1));
      const double v_hat = v[i] / (1 - std::pow(kBeta2, step + 1));
      w[i] -= kRate * (m_hat / (std::sqrt(v_hat) + 1e-8) + kDecay * w[i]);
      EXPECT_NEAR(parameters[0].value[i].item<double>(), w[i], 1e-5) << "step " << step;
    }
    EXPECT_EQ(parameters[0].value[2].item<double>(), 0);
    EXPECT_FALSE(parameters[0].value.grad().defined());
  }
  EXPECT_EQ(optimizer.moments().size(), 2U);
}

TEST(Sgd, FollowsTheFormulaAndKeepsPrunedWeightsAtZero) {
  std::vector<Parameter> parameters = three_weights();
  Sgd optimizer(parameters, kBeta1, kDecay);
  double w[2] = {1, -2}, velocity[2] = {0, 0};
  for (int step = 0; step < 20; ++step) {
    set_gradient(parameters[0], step);
    optimizer.step(kRate, step);
    for (int i = 0; i < 2; ++i) {
      const double g = gradient_of(step, i) + kDecay * w[i];
      velocity[i] = kBeta1 * velocity[i] + g;
      w[i] -= kRate * (g + kBeta1 * velocity[i]);
      EXPECT_NEAR(parameters[0].value[i].item<double>(), w[i], 1e-5) << "step " << step;
    }
    EXPECT_EQ(parameters[0].value[2].item<double>(), 0);
  }
}

TEST(Optimizer, UnknownNameIsAnError) {
  std::vector<Parameter> parameters = three_weights();
  EXPECT_THROW(make_optimizer("magic", parameters, 0.9, 0), Error);
  EXPECT_NE(make_optimizer("sgd", parameters, 0.9, 0), nullptr);
}

}  // namespace
}  // namespace wins::training
