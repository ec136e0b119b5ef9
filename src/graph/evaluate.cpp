#include "wins/graph/evaluate.hpp"

#include "evaluate_ops.hpp"
#include "wins/graph/shapes.hpp"

namespace wins::graph {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 33;

}  // namespace

bool can_evaluate(const Op& op) {
  return std::visit([]<class T>(const T&) { return Evaluable<T>; }, op);
}

std::vector<Tensor> evaluate(const Node& node, const std::vector<const Tensor*>& inputs) {
  std::vector<ValueInfo> infos;
  for (const Tensor* tensor : inputs) {
    infos.push_back(tensor == nullptr ? ValueInfo::absent()
                                      : ValueInfo{tensor->dtype(), tensor->shape(), tensor});
  }
  const Inferred outputs = infer_node(node, infos);
  const InferContext context(node, infos);
  for (const ValueInfo& output : outputs) {
    const std::int64_t count = output.shape ? context.count(*output.shape) : -1;
    context.require(count >= 0, "its output shape depends on data");
    context.require(count <= kMaxElements, "an output of {} elements is too large", count);
  }
  const Evaluation evaluation{context, inputs, outputs};
  return std::visit(
      [&]<class T>(const T& op) -> std::vector<Tensor> {
        if constexpr (Evaluable<T>)
          return compute(op, evaluation);
        else
          context.fail("cannot be evaluated by itself");
      },
      node.op);
}

std::optional<std::vector<Tensor>> evaluate_constant(const Node& node,
                                                     const std::vector<const Tensor*>& inputs) {
  if (!can_evaluate(node.op)) return {};
  return evaluate(node, inputs);
}

}  // namespace wins::graph
