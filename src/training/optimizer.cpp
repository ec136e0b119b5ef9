#include "optimizer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>

#include "wins/base/error.hpp"

namespace wins::training {

double Schedule::rate(std::int64_t step) const {
  if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  if (steps <= warmup_steps) return peak;
  const double share = static_cast<double>(step - warmup_steps) / static_cast<double>(steps - warmup_steps);
  return final + (peak - final) * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

namespace {

constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;

std::vector<at::Tensor> zeros_for(const std::vector<Parameter>& parameters) {
  std::vector<at::Tensor> zeros;
  for (const Parameter& parameter : parameters) zeros.push_back(at::zeros_like(parameter.value).detach());
  return zeros;
}

}  // namespace

Sgd::Sgd(std::vector<Parameter>& parameters, double momentum, double decay)
    : parameters_(parameters), velocity_(zeros_for(parameters)), momentum_(momentum), decay_(decay) {}

void Sgd::step(double rate, std::int64_t /*index*/) {
  const at::NoGradGuard guard;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    at::Tensor gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    if (parameter.decays && decay_ != 0) gradient = at::add(gradient, parameter.value, decay_);
    if (parameter.mask.defined()) gradient = gradient * parameter.mask;
    velocity_[i].mul_(momentum_).add_(gradient);
    parameter.value.add_(gradient, -rate).add_(velocity_[i], -rate * momentum_);
    parameter.value.mutable_grad().reset();
  }
}

AdamW::AdamW(std::vector<Parameter>& parameters, double beta1, double decay)
    : parameters_(parameters), first_(zeros_for(parameters)), second_(zeros_for(parameters)), beta1_(beta1),
      decay_(decay) {}

void AdamW::step(double rate, std::int64_t index) {
  const at::NoGradGuard guard;
  const auto steps = static_cast<double>(index + 1);
  const double first_scale = 1 / (1 - std::pow(beta1_, steps));
  const double second_scale = 1 / (1 - std::pow(kBeta2, steps));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    at::Tensor gradient = parameter.value.grad();
    if (!gradient.defined()) continue;
    if (parameter.mask.defined()) gradient = gradient * parameter.mask;
    first_[i].mul_(beta1_).add_(gradient, 1 - beta1_);
    second_[i].mul_(kBeta2).add_(gradient * gradient, 1 - kBeta2);
    if (parameter.decays && decay_ != 0) parameter.value.mul_(1 - rate * decay_);
    const at::Tensor divisor = (second_[i] * second_scale).sqrt_().add_(kEpsilon);
    parameter.value.add_(first_[i] / divisor, -rate * first_scale);
    parameter.value.mutable_grad().reset();
  }
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<Parameter>& parameters, double momentum,
                                          double decay) {
  if (name == "sgd") return std::make_unique<Sgd>(parameters, momentum, decay);
  if (name == "adamw") return std::make_unique<AdamW>(parameters, momentum, decay);
  fail("--optimizer {}: sgd or adamw was expected", name);
}

}  // namespace wins::training
