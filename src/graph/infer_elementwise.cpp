// Operators whose output has the shape of an input, or of two inputs broadcast.
#include "infer.hpp"

namespace wins::graph {
namespace {

/// Throws unless input `i`, when its shape is known, is a vector of `extent` elements.
void require_vector(const InferContext& context, std::size_t i, std::int64_t extent, const char* what) {
  if (!context.has(i)) return;
  context.require_rank(i, 1);
  if (context.shape(i)) context.merge(context.shape(i)->front(), extent, what);
}

bool is_float(DType type) {
  return type == DType::f32 || type == DType::f64;
}

/// Functions that integers have too.
bool takes_integers(UnaryKind kind) {
  return kind == UnaryKind::identity || kind == UnaryKind::neg || kind == UnaryKind::abs ||
         kind == UnaryKind::relu || kind == UnaryKind::clip;
}

}  // namespace

Inferred infer(const BatchNorm&, const InferContext& context) {
  context.require_float(0);
  if (!context.shape(0)) return single(context.dtype(0), {});
  const wins::Shape& x = *context.shape(0);
  context.require(x.size() >= 2, "input must have channels, has shape {}", to_string(x));
  for (std::size_t i = 1; i < 5; ++i) require_vector(context, i, x[1], "channels and parameters");
  return single(context.dtype(0), x);
}

Inferred infer(const Unary& op, const InferContext& context) {
  const DType type = context.dtype(0);
  context.require(is_float(type) || takes_integers(op.function.kind), "does not take {}", name_of(type));
  return single(type, context.shape(0));
}

Inferred infer(const PRelu&, const InferContext& context) {
  context.require_float(0);
  context.require(context.dtype(1) == context.dtype(0), "slope and input differ in type");
  if (!context.shape(0) || !context.shape(1)) return single(context.dtype(0), context.shape(0));
  wins::Shape output = broadcast(context, *context.shape(0), *context.shape(1));
  const wins::Shape& x = *context.shape(0);
  context.require(output.size() == x.size(), "slope {} has a higher rank than the input",
                  to_string(*context.shape(1)));
  for (std::size_t i = 0; i < x.size(); ++i) {
    context.require(x[i] < 0 || output[i] < 0 || output[i] == x[i], "slope {} does not broadcast to {}",
                    to_string(*context.shape(1)), to_string(x));
  }
  return single(context.dtype(0), x);
}

Inferred infer(const Binary& op, const InferContext& context) {
  context.require(op.kind == BinaryKind::pow || context.dtype(0) == context.dtype(1),
                  "operands are {} and {}", name_of(context.dtype(0)), name_of(context.dtype(1)));
  context.require(op.activation.kind == UnaryKind::identity || is_float(context.dtype(0)),
                  "an activation needs floats");
  if (!context.shape(0) || !context.shape(1)) return single(context.dtype(0), {});
  return single(context.dtype(0), broadcast(context, *context.shape(0), *context.shape(1)));
}

Inferred infer(const Lrn& op, const InferContext& context) {
  context.require_float(0);
  context.require(op.size >= 1 && op.size <= kMaxWindow, "size {} is out of range", op.size);
  context.require(!context.shape(0) || context.shape(0)->size() >= 2, "input must have channels");
  return single(context.dtype(0), context.shape(0));
}

Inferred infer(const Softmax& op, const InferContext& context) {
  context.require_float(0);
  if (context.shape(0)) context.axis(op.axis, context.shape(0)->size());
  return single(context.dtype(0), context.shape(0));
}

Inferred infer(const LayerNorm& op, const InferContext& context) {
  context.require_float(0);
  if (!context.shape(0)) return single(context.dtype(0), {});
  const wins::Shape& x = *context.shape(0);
  const std::size_t axis = context.axis(op.axis, x.size());
  const wins::Shape normalised(x.begin() + static_cast<std::ptrdiff_t>(axis), x.end());
  for (std::size_t i = 1; i < 3; ++i) {
    if (!context.has(i) || !context.shape(i)) continue;
    const wins::Shape together = broadcast(context, normalised, *context.shape(i));
    context.require(together.size() == normalised.size(), "scale or shift {} does not fit {}",
                    to_string(*context.shape(i)), to_string(normalised));
    for (std::size_t a = 0; a < together.size(); ++a) {
      context.merge(together[a], normalised[a], "normalised extents and parameters");
    }
  }
  return single(context.dtype(0), x);
}

Inferred infer(const Cast& op, const InferContext& context) {
  return single(op.to, context.shape(0));
}

}  // namespace wins::graph
