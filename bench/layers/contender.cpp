#include "contender.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernel.hpp"
#include "wins/base/error.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::layers {

Errors errors_of(const Tensor& output, const Tensor& reference) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (output.shape() != reference.shape()) return {kInfinity, kInfinity};
  double largest = std::numeric_limits<double>::min();
  for (const double value : reference.data<double>()) largest = std::max(largest, std::abs(value));
  return {relative_l2(output, reference), max_abs_difference(output, reference) / largest};
}

Errors error_bound(const runtime::ConvProblem& problem, const std::string& kernel) {
  // Measured on normal data over up to 128 channels of a 3x3 kernel, times 1.5 or so. Direct sums are longer.
  Errors bound{9e-7, 2e-6};
  if (kernel.find("winograd_f2") != std::string::npos) bound = {5e-7, 7e-7};
  if (kernel.find("winograd_f4") != std::string::npos) bound = {1.5e-6, 3e-6};
  if (kernel.find("winograd_f6") != std::string::npos) bound = {6e-6, 2.2e-5};
  if (kernel.find("stem_f4") != std::string::npos) bound = {1.4e-6, 4e-6};
  const auto terms =
      static_cast<double>(problem.in_channels / problem.groups * problem.kernel[0] * problem.kernel[1]);
  const double growth = std::max(1.0, std::sqrt(terms / (128 * 9)));
  return {bound.relative_l2 * growth, bound.max * growth};
}

Tensor reference_output(const Layer& layer) {
  return runtime::ref::run(layer.graph, layer.inputs, runtime::ref::Precision::float64).at(0);
}

std::vector<std::string> kernel_names(const Layer& layer) {
  std::vector<std::string> names;
  for (const runtime::cpu::Kernel& kernel : runtime::cpu::kernels_for(layer.graph.nodes.at(0).op)) {
    if (kernel.name != "ref") names.emplace_back(kernel.name);
  }
  return names;
}

Contender::Contender(const Layer& layer, int threads, const std::string& kernel)
    : wanted_(kernel), inputs_(layer.inputs) {
  runtime::SessionOptions options;
  options.threads = threads;
  options.force_kernel = kernel;
  const auto backend = runtime::make_cpu_backend();
  executable_ = backend->compile(layer.graph, options, backend->make_cache());
  const std::vector<runtime::LayerPlan>& lines = executable_->plan().layers;
  const auto found = std::find_if(lines.begin(), lines.end(), [&](const runtime::LayerPlan& line) {
    return line.node == layer.graph.nodes.at(0).name && !line.kernel.starts_with("cpu:reorder");
  });
  require(found != lines.end(), "the plan has no line for the layer");
  index_ = static_cast<std::size_t>(found - lines.begin());
}

std::optional<std::string> Contender::refusal() const {
  if (wanted_.empty() || kernel().starts_with(wanted_)) return std::nullopt;
  for (const auto& [name, reason] : line().refused) {
    if (name == wanted_) return reason;
  }
  return "not in the engine's list";
}

double Contender::run_timed() {
  std::vector<Tensor> outputs;
  return executable_->run_timed(inputs_, outputs).at(index_);
}

}  // namespace wins::layers
