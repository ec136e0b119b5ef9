// Stochastic gradient descent with Nesterov momentum, and its learning rate.
#pragma once

#include <cstdint>
#include <vector>

#include "network.hpp"

namespace wins::training {

struct Schedule {
  double peak = 0.1, final = 0;
  std::int64_t warmup_steps = 0, steps = 0;
  /// Rate of step i in [0, steps): linear warm-up from peak / warmup_steps, then half a cosine
  /// (Loshchilov & Hutter, "SGDR", 2017) that would reach `final` at step `steps`.
  double rate(std::int64_t step) const;
};

/// v <- mu v + g, w <- w - rate (g + mu v), with g = (gradient + decay w) under the mask
/// (Sutskever et al. 2013, in the form of libtorch's SGD). Pruned weights stay exactly zero.
class Sgd {
 public:
  Sgd(std::vector<Parameter>& parameters, double momentum, double decay);
  /// One update from the gradients of the parameters, which it clears.
  void step(double rate);
  /// v, in the order of the parameters.
  std::vector<at::Tensor>& momentum() { return velocity_; }

 private:
  std::vector<Parameter>& parameters_;
  std::vector<at::Tensor> velocity_;
  double momentum_, decay_;
};

}  // namespace wins::training
