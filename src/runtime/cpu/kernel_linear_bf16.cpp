// Fully connected layers with weights stored as bfloat16: half the bytes of the stream that bounds them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bfloat16.hpp"
#include "kernels.hpp"
#include "linear.hpp"
#include "linear_kernels.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::cpu {
namespace {

/// [tile of outputs][inputs][outputs of a tile]
AlignedFloats pack_weights(const Problem& problem, const Linear& l, std::int64_t tile) {
  const auto given = problem.constant(1)->data<float>();
  const std::int64_t tiles = divide_up(l.outputs, tile);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(tiles * l.inputs * tile));
  for (std::int64_t t = 0; t < tiles; ++t) {
    for (std::int64_t c = 0; c < l.inputs; ++c) {
      for (std::int64_t k = t * tile; k < (t + 1) * tile; ++k) {
        const std::int64_t at = l.transposed ? k * l.inputs + c : c * l.outputs + k;
        values.push_back(k < l.outputs ? l.alpha * given[static_cast<std::size_t>(at)] : 0);
      }
    }
  }
  return pack_bfloat16(values);
}

std::optional<std::string> refuse(const Problem& problem) {
  if (problem.env.options.weight_storage != WeightStorage::bf16) return "weights are stored as float32";
  if (const auto reason = refuse_linear_form(problem)) return reason;
  if (!fused_activation(linear_of(problem).activation)) return "activation without a kernel";
  return std::nullopt;
}

Cost predict(const Problem& problem) {
  const Linear l = linear_of(problem);
  const auto m = static_cast<double>(l.rows), k = static_cast<double>(l.inputs), n = static_cast<double>(l.outputs);
  const double passes = std::ceil(m / linear_kernels().max_rows);
  return predict_roofline(2 * m * k * n, 2 * k * n * passes + 4 * (m * k + m * n), 0.6, problem.env.threads,
                          problem.env.machine);
}

class LinearStep : public Step {
 public:
  LinearStep(const Problem& problem, std::shared_ptr<const AlignedFloats> weights)
      : linear_(linear_of(problem)),
        threads_(problem.env.threads),
        weights_(std::move(weights)),
        bias_(round_up(linear_.outputs, kernels_.outputs)),
        activation_(*fused_activation(linear_.activation)) {
    std::fill_n(bias_.data(), bias_.size(), 0.0F);
    if (!problem.has_input(2)) return;
    const AlignedFloats bias = scaled_bias(problem, linear_);
    std::copy_n(bias.data(), linear_.outputs, bias_.data());
  }

  void run(const Arguments& arguments) override {
    parallel_for(divide_up(linear_.outputs, kernels_.outputs), threads_,
                 [&](std::int64_t tile, int) { run_tile(arguments, tile); });
  }

 private:
  void run_tile(const Arguments& arguments, std::int64_t index) const {
    const std::int64_t first = index * kernels_.outputs;
    const std::int64_t parts = divide_up(linear_.rows, kernels_.max_rows);
    LinearTile tile;
    tile.weights = reinterpret_cast<const std::uint16_t*>(weights_->data()) + first * linear_.inputs;
    tile.bias = bias_.data() + first;
    tile.inputs = tile.x_pitch = linear_.inputs;
    tile.y_pitch = linear_.outputs;
    tile.outputs = static_cast<int>(std::min<std::int64_t>(kernels_.outputs, linear_.outputs - first));
    tile.activation = activation_;
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t row = linear_.rows * part / parts;
      tile.rows = static_cast<int>(linear_.rows * (part + 1) / parts - row);
      tile.x = static_cast<const float*>(arguments.inputs[0]) + row * linear_.inputs;
      tile.y = static_cast<float*>(arguments.outputs[0]) + row * linear_.outputs + first;
      kernels_.multiply(tile);
    }
  }

  const LinearKernels& kernels_ = linear_kernels();
  Linear linear_;
  int threads_;
  std::shared_ptr<const AlignedFloats> weights_;
  AlignedFloats bias_;
  OutputActivation activation_;
};

Implementation build(const Problem& problem) {
  const LinearKernels& kernels = linear_kernels();
  const auto weights = problem.env.weights.get<AlignedFloats>(
      problem.node.name + "/linear/bf16", [&] { return pack_weights(problem, linear_of(problem), kernels.outputs); });
  Implementation result;
  result.name = fmt::format("cpu:linear_bf16_{}", lower_case(kernels.target));
  result.inputs = {Need::plain, Need::none, Need::none};
  result.inputs.resize(problem.node.inputs.size());
  result.weight_bytes = weights->byte_size();
  result.step = std::make_unique<LinearStep>(problem, weights);
  return result;
}

}  // namespace

Kernel linear_bf16_kernel() {
  return {"cpu:linear_bf16", &refuse, &predict, &build};
}

}  // namespace wins::runtime::cpu
