// Stochastic gradient descent with Nesterov momentum, AdamW, and their learning rate.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
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

/// One way to move the parameters along their gradients. Pruned weights stay exactly zero.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One update from the gradients of the parameters, which it clears. `index`: steps done before.
  virtual void step(double rate, std::int64_t index) = 0;
  /// Running moments by name, in the order of the parameters: what a checkpoint keeps.
  virtual std::map<std::string, std::vector<at::Tensor>*> moments() = 0;
};

/// v <- mu v + g, w <- w - rate (g + mu v), with g = (gradient + decay w) under the mask
/// (Sutskever et al. 2013, in the form of libtorch's SGD).
class Sgd : public Optimizer {
 public:
  Sgd(std::vector<Parameter>& parameters, double momentum, double decay);
  void step(double rate, std::int64_t index) override;
  std::map<std::string, std::vector<at::Tensor>*> moments() override { return {{"momentum", &velocity_}}; }

 private:
  std::vector<Parameter>& parameters_;
  std::vector<at::Tensor> velocity_;
  double momentum_, decay_;
};

/// AdamW (Loshchilov & Hutter, ICLR 2019): w <- w - rate (m / (sqrt(v) + eps) + decay w), m and v
/// the bias-corrected first and second moments. In the Winograd domain the positions' gradients
/// differ by orders of magnitude (V's energy lies in few of them): dividing by sqrt(v) evens
/// that out, which one learning rate for all positions cannot.
class AdamW : public Optimizer {
 public:
  AdamW(std::vector<Parameter>& parameters, double beta1, double decay);
  void step(double rate, std::int64_t index) override;
  std::map<std::string, std::vector<at::Tensor>*> moments() override {
    return {{"momentum", &first_}, {"second moment", &second_}};
  }

 private:
  std::vector<Parameter>& parameters_;
  std::vector<at::Tensor> first_, second_;
  double beta1_, decay_;
};

/// "sgd" or "adamw"; throws `Error` naming the option otherwise.
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, std::vector<Parameter>& parameters, double momentum,
                                          double decay);

}  // namespace wins::training
