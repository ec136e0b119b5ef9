#include "optimizer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <numbers>

namespace wins::training {

double Schedule::rate(std::int64_t step) const {
  if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  if (steps <= warmup_steps) return peak;
  const double share = static_cast<double>(step - warmup_steps) / static_cast<double>(steps - warmup_steps);
  return final + (peak - final) * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

Sgd::Sgd(std::vector<Parameter>& parameters, double momentum, double decay)
    : parameters_(parameters), momentum_(momentum), decay_(decay) {
  for (const Parameter& parameter : parameters_)
    velocity_.push_back(at::zeros_like(parameter.value).detach());
}

void Sgd::step(double rate) {
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

}  // namespace wins::training
