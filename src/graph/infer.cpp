#include "infer.hpp"

#include <algorithm>

#include "arity.hpp"

namespace wins::graph {

std::optional<Ints> InferContext::ints(std::size_t i) const {
  const Tensor* tensor = constant(i);
  if (tensor == nullptr) return {};
  require(tensor->dtype() == DType::i64 || tensor->dtype() == DType::i32,
          "input {} must hold integers, not {}", i, name_of(tensor->dtype()));
  require(tensor->rank() <= 1, "input {} must be a vector, not {}", i, to_string(tensor->shape()));
  require(tensor->size() <= (1 << 20), "input {} has {} elements", i, tensor->size());
  const Tensor wide = tensor->cast(DType::i64);
  const auto data = wide.data<std::int64_t>();
  return Ints(data.begin(), data.end());
}

std::int64_t InferContext::length(std::size_t i) const {
  if (!shape(i)) return -1;
  require(shape(i)->size() <= 1, "input {} must be a vector, not {}", i, to_string(*shape(i)));
  return shape(i)->empty() ? 1 : shape(i)->front();
}

void InferContext::require_float(std::size_t i) const {
  require(dtype(i) == DType::f32 || dtype(i) == DType::f64, "input {} must hold floats, not {}", i,
          name_of(dtype(i)));
}

void InferContext::require_rank(std::size_t i, std::size_t rank) const {
  if (!has(i) || !shape(i)) return;
  require(shape(i)->size() == rank, "input {} must have rank {}, has shape {}", i, rank,
          to_string(*shape(i)));
}

std::int64_t InferContext::merge(std::int64_t a, std::int64_t b, const char* what) const {
  if (a < 0) return b;
  if (b < 0) return a;
  require(a == b, "{} differ: {} and {}", what, a, b);
  return a;
}

std::size_t InferContext::axis(std::int64_t axis, std::size_t rank) const {
  const auto r = static_cast<std::int64_t>(rank);
  require(axis >= -r && axis < r, "axis {} is outside a tensor of rank {}", axis, rank);
  return static_cast<std::size_t>(axis < 0 ? axis + r : axis);
}

std::vector<std::size_t> InferContext::axes(const Ints& list, std::size_t rank) const {
  std::vector<std::size_t> result;
  for (const std::int64_t a : list) {
    const std::size_t resolved = axis(a, rank);
    require(std::find(result.begin(), result.end(), resolved) == result.end(), "axis {} is named twice", a);
    result.push_back(resolved);
  }
  return result;
}

std::int64_t InferContext::count(std::span<const std::int64_t> extents) const {
  std::int64_t product = 1;
  for (const std::int64_t extent : extents) {
    if (extent < 0) return -1;
    require(!__builtin_mul_overflow(product, extent, &product), "a tensor of shape {} is too large",
            to_string(wins::Shape(extents.begin(), extents.end())));
  }
  return product;
}

Inferred infer_node(const Node& node, std::span<const ValueInfo> inputs) {
  const InferContext context(node, inputs);
  if (const std::string fault = arity_fault(node); !fault.empty()) context.fail("{}", fault);
  Inferred outputs = std::visit([&](const auto& op) { return infer(op, context); }, node.op);
  context.require(outputs.size() == node.outputs.size(), "gives {} outputs, the graph reads {}",
                  outputs.size(), node.outputs.size());
  for (const ValueInfo& output : outputs) {
    if (!output.shape) continue;
    context.require(output.shape->size() <= kMaxRank, "output has rank {}, at most {} is supported",
                    output.shape->size(), kMaxRank);
    for (const std::int64_t extent : *output.shape) {
      context.require(extent <= kMaxExtent, "output shape {} is too large", to_string(*output.shape));
    }
  }
  return outputs;
}

wins::Shape broadcast(const InferContext& context, const wins::Shape& a, const wins::Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  wins::Shape result(rank, 1);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    context.require(x == y || x == 1 || y == 1 || x < 0 || y < 0, "shapes {} and {} do not broadcast",
                    to_string(a), to_string(b));
    // An unknown extent against 1 stays unknown; against anything larger it must be that.
    std::int64_t& out = result[rank - 1 - i];
    if (x == 1)
      out = y;
    else if (y == 1)
      out = x;
    else
      out = std::max(x, y);
  }
  return result;
}

}  // namespace wins::graph
