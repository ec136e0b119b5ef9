// One kernel on one layer: compiled alone, checked against float64, timed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layer_case.hpp"
#include "wins/runtime/backend.hpp"

namespace wins::layers {

struct Errors {
  double relative_l2 = 0;
  double max = 0;  ///< largest difference, relative to the largest reference value
  bool within(const Errors& bound) const { return relative_l2 <= bound.relative_l2 && max <= bound.max; }
};

/// Of a float32 output against the float64 reference; infinite on NaN or a wrong shape.
Errors errors_of(const Tensor& output, const Tensor& reference);

/// What float32 rounding may cost: grows with the tile and with the square root of the sum's length.
Errors error_bound(const runtime::ConvProblem& problem, const std::string& kernel);

/// The layer's output in double.
Tensor reference_output(const Layer& layer);

/// Names of the kernels in the engine's list for the layer's operator, the reference left out.
std::vector<std::string> kernel_names(const Layer& layer);

/// A layer on the CPU backend.
class Contender {
 public:
  /// `kernel`: one of kernel_names(), or empty for the engine's choice.
  Contender(const Layer& layer, int threads, const std::string& kernel = {});

  const std::string& kernel() const { return line().kernel; }
  /// Why the kernel that was asked for did not take the layer; nothing when it did.
  std::optional<std::string> refusal() const;
  const runtime::LayerPlan& line() const { return executable_->plan().layers.at(index_); }
  Tensor run() { return executable_->run(inputs_).at(0); }
  /// Microseconds of the node alone, reorders of its inputs and output left out.
  double run_timed();

 private:
  std::string wanted_;
  std::vector<Tensor> inputs_;
  std::unique_ptr<runtime::Executable> executable_;
  std::size_t index_ = 0;  // of the node's line in the plan
};

}  // namespace wins::layers
