#include "operators.hpp"

#include <map>
#include <utility>

namespace wins::onnx {

std::vector<Operator> all_operators() {
  std::vector<Operator> all;
  for (const auto family : {window_operators(), normalisation_operators(), activation_operators(),
                            arithmetic_operators(), shape_operators(), resize_operators(), winograd_operators()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  return all;
}

const Operator* find_operator(const std::string& domain, const std::string& name) {
  static const auto table = [] {
    std::map<std::pair<std::string, std::string>, Operator> entries;
    for (const Operator& op : all_operators()) entries.emplace(std::pair(op.domain, op.name), op);
    return entries;
  }();
  const auto found = table.find({domain == "ai.onnx" ? "" : domain, name});
  return found != table.end() ? &found->second : nullptr;
}

}  // namespace wins::onnx
