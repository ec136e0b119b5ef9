#include "hints.hpp"

#include <ATen/ATen.h>

#include <set>

namespace wins::training {

std::vector<std::string> hint_values(const graph::Graph& student, const graph::Graph& teacher) {
  std::set<std::string> computed;
  for (const graph::Node& node : teacher.nodes) {
    for (const graph::ValueId id : node.outputs) computed.insert(teacher.value(id).name);
  }
  const std::set<graph::ValueId> outputs(student.outputs.begin(), student.outputs.end());
  std::vector<std::string> names;
  for (const graph::Node& node : student.nodes) {
    const auto* unary = node.as<graph::Unary>();
    if (unary == nullptr || unary->function.kind == graph::UnaryKind::identity) continue;
    const graph::Value& value = student.value(node.outputs.at(0));
    const bool picture = value.shape && value.shape->size() == 4;
    if (picture && computed.contains(value.name) && !outputs.contains(node.outputs[0]))
      names.push_back(value.name);
  }
  return names;
}

at::Tensor hint_distance(std::span<const at::Tensor> student, std::span<const at::Tensor> teacher) {
  at::Tensor sum;
  for (std::size_t i = 0; i < student.size(); ++i) {
    const at::Tensor wanted = teacher[i].to(at::kFloat);
    const at::Tensor distance =
        (student[i].to(at::kFloat) - wanted).square().mean() / wanted.var().clamp_min(1e-12);
    sum = sum.defined() ? sum + distance : distance;
  }
  return sum / static_cast<double>(student.size());
}

}  // namespace wins::training
