// Matrix products.
#include "infer.hpp"

namespace wins::graph {
namespace {

void require_same_floats(const InferContext& context, std::size_t count) {
  context.require_float(0);
  for (std::size_t i = 1; i < count; ++i) {
    if (!context.has(i)) continue;
    context.require(context.dtype(i) == context.dtype(0), "inputs 0 and {} are {} and {}", i,
                    name_of(context.dtype(0)), name_of(context.dtype(i)));
  }
}

}  // namespace

Inferred infer(const Gemm& op, const InferContext& context) {
  require_same_floats(context, 3);
  context.require_rank(0, 2);
  context.require_rank(1, 2);
  const wins::Shape a = context.shape(0).value_or(wins::Shape{-1, -1});
  const wins::Shape b = context.shape(1).value_or(wins::Shape{-1, -1});
  context.merge(a[op.trans_a ? 0 : 1], b[op.trans_b ? 1 : 0], "inner extents");
  const wins::Shape output = {a[op.trans_a ? 1 : 0], b[op.trans_b ? 0 : 1]};
  if (context.has(2) && context.shape(2)) {
    const wins::Shape& c = *context.shape(2);
    const wins::Shape together = broadcast(context, output, c);
    context.require(together.size() == 2, "C {} does not broadcast to the output", to_string(c));
    for (std::size_t i = 0; i < 2; ++i)
      context.merge(together[i], output[i], "extents of the output and of C");
  }
  return single(context.dtype(0), output);
}

Inferred infer(const MatMul&, const InferContext& context) {
  require_same_floats(context, 2);
  if (!context.shape(0) || !context.shape(1)) return single(context.dtype(0), {});
  wins::Shape a = *context.shape(0);
  wins::Shape b = *context.shape(1);
  context.require(!a.empty() && !b.empty(), "operands must not be scalars");
  // numpy: a vector on the left is a row, on the right a column, and that extent is dropped again.
  const bool row = a.size() == 1;
  const bool column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  context.merge(a.back(), b[b.size() - 2], "inner extents");
  wins::Shape output =
      broadcast(context, wins::Shape(a.begin(), a.end() - 2), wins::Shape(b.begin(), b.end() - 2));
  if (!row) output.push_back(a[a.size() - 2]);
  if (!column) output.push_back(b.back());
  return single(context.dtype(0), output);
}

}  // namespace wins::graph
