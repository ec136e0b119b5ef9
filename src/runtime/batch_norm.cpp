#include "wins/runtime/batch_norm.hpp"

#include <cmath>

namespace wins::runtime {

bool has_constant_statistics(const graph::Graph& graph, const graph::Node& node) {
  for (std::size_t i = 1; i < 5; ++i) {
    if (graph.constant_input(node, i) == nullptr) return false;
  }
  return true;
}

ScaleShift scale_shift_of(const graph::Graph& graph, const graph::Node& node) {
  const auto values = [&](std::size_t i) {
    const Tensor numbers = graph.constant_input(node, i)->cast(DType::f32);
    const auto data = numbers.data<float>();
    return std::vector<double>(data.begin(), data.end());
  };
  const std::vector<double> scale = values(1), shift = values(2), mean = values(3), variance = values(4);
  const auto epsilon = static_cast<double>(std::get<graph::BatchNorm>(node.op).epsilon);
  ScaleShift result;
  for (std::size_t c = 0; c < scale.size(); ++c) {
    const double factor = scale[c] / std::sqrt(variance[c] + epsilon);
    result.scale.push_back(static_cast<float>(factor));
    result.shift.push_back(static_cast<float>(shift[c] - factor * mean[c]));
  }
  return result;
}

}  // namespace wins::runtime
