// Operators that keep the elements in order and change the shape: Reshape and its relatives,
// and those that make or read shapes.
#include <cmath>

#include "infer.hpp"

namespace wins::graph {
namespace {

__extension__ using Wide = __int128;

/// An element of a shape tensor as an extent: -1 when it is not known.
std::int64_t to_extent(const InferContext& context, std::int64_t element) {
  if (element == kUnknownElement) return -1;
  context.require(element >= 0 && element <= kMaxExtent, "extent {} is out of range", element);
  return element;
}

/// Shape with as many unknown extents as input `i` has elements; nothing when that is unknown.
std::optional<wins::Shape> unknown_extents(const InferContext& context, std::size_t i) {
  const std::int64_t rank = context.length(i);
  if (rank < 0) return {};
  context.require(rank <= static_cast<std::int64_t>(kMaxRank), "a shape of {} extents is not supported",
                  rank);
  return wins::Shape(static_cast<std::size_t>(rank), -1);
}

/// The extent that -1 stands for: what is left of `x` when the other extents of `output` are
/// taken out. Extents copied from `x` (flags) cancel even when they are unknown.
std::int64_t inferred_extent(const InferContext& context, const wins::Shape& x, const wins::Shape& output,
                             const std::vector<bool>& copied, std::size_t hole) {
  wins::Shape left, right;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i >= copied.size() || !copied[i]) left.push_back(x[i]);
  }
  for (std::size_t i = 0; i < output.size(); ++i) {
    if (i != hole && !copied[i]) right.push_back(output[i]);
  }
  const std::int64_t have = context.count(left);
  const std::int64_t used = context.count(right);
  if (have < 0 || used < 0) return -1;
  context.require(used > 0 && have % used == 0, "cannot reshape {} to {}", to_string(x), to_string(output));
  return have / used;
}

}  // namespace

Inferred infer(const Reshape& op, const InferContext& context) {
  const DType type = context.dtype(0);
  const std::optional<Ints> target = context.ints(1);
  if (!target) return single(type, unknown_extents(context, 1));
  context.require(target->size() <= kMaxRank, "a shape of {} extents is not supported", target->size());
  const std::optional<wins::Shape>& x = context.shape(0);
  wins::Shape output;
  std::vector<bool> copied(target->size(), false);
  std::optional<std::size_t> hole;
  for (std::size_t i = 0; i < target->size(); ++i) {
    const std::int64_t element = (*target)[i];
    if (element == 0 && !op.allow_zero) {
      context.require(!x || i < x->size(), "shape has a 0 at {}, the input has no such axis", i);
      copied[i] = x.has_value();
      output.push_back(x ? (*x)[i] : -1);
    } else if (element == -1) {
      context.require(!hole, "shape has more than one -1");
      hole = i;
      output.push_back(-1);
    } else {
      output.push_back(to_extent(context, element));
    }
  }
  if (!x) return single(type, output);
  if (hole) output[*hole] = inferred_extent(context, *x, output, copied, *hole);
  const std::int64_t before = context.count(*x);
  const std::int64_t after = context.count(output);
  context.require(before < 0 || after < 0 || before == after, "cannot reshape {} to {}", to_string(*x),
                  to_string(output));
  return single(type, output);
}

Inferred infer(const Flatten& op, const InferContext& context) {
  if (!context.shape(0)) return single(context.dtype(0), wins::Shape{-1, -1});
  const wins::Shape& x = *context.shape(0);
  const auto rank = static_cast<std::int64_t>(x.size());
  context.require(op.axis >= -rank && op.axis <= rank, "axis {} is outside a tensor of rank {}", op.axis,
                  rank);
  const auto axis = static_cast<std::size_t>(op.axis < 0 ? op.axis + rank : op.axis);
  const std::span<const std::int64_t> all(x);
  return single(context.dtype(0),
                wins::Shape{context.count(all.first(axis)), context.count(all.subspan(axis))});
}

Inferred infer(const Squeeze&, const InferContext& context) {
  const DType type = context.dtype(0);
  if (!context.shape(0)) return single(type, {});
  const wins::Shape& x = *context.shape(0);
  std::vector<bool> dropped(x.size(), false);
  if (context.has(1)) {
    const std::optional<Ints> axes = context.ints(1);
    if (!axes) return single(type, {});
    dropped = axis_flags(context, *axes, x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      context.require(!dropped[i] || x[i] < 0 || x[i] == 1, "axis {} of {} is not 1", i, to_string(x));
    }
  } else {
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] < 0) return single(type, {});
      dropped[i] = x[i] == 1;
    }
  }
  wins::Shape output;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!dropped[i]) output.push_back(x[i]);
  }
  return single(type, output);
}

Inferred infer(const Unsqueeze&, const InferContext& context) {
  const DType type = context.dtype(0);
  const std::optional<Ints> axes = context.ints(1);
  if (!context.shape(0) || !axes) return single(type, {});
  const wins::Shape& x = *context.shape(0);
  const std::size_t rank = x.size() + axes->size();
  context.require(rank <= kMaxRank, "rank {} is not supported", rank);
  const std::vector<bool> added = axis_flags(context, *axes, rank);
  wins::Shape output;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rank; ++i) output.push_back(added[i] ? 1 : x[next++]);
  return single(type, output);
}

Inferred infer(const Expand&, const InferContext& context) {
  const DType type = context.dtype(0);
  const std::optional<Ints> target = context.ints(1);
  if (!context.shape(0) || !target) return single(type, {});
  wins::Shape wanted;
  for (const std::int64_t element : *target) wanted.push_back(to_extent(context, element));
  return single(type, broadcast(context, *context.shape(0), wanted));
}

Inferred infer(const Shape& op, const InferContext& context) {
  if (!context.shape(0)) return single(DType::i64, wins::Shape{-1});
  const auto rank = static_cast<std::int64_t>(context.shape(0)->size());
  const AxisSlice slice = resolve_slice(op.start, op.end.value_or(rank), 1, rank);
  return single(DType::i64, wins::Shape{slice.count});
}

Inferred infer(const ConstantOfShape& op, const InferContext& context) {
  const DType type = op.value.defined() ? op.value.dtype() : DType::f32;
  context.require(!op.value.defined() || op.value.size() == 1, "value must have one element, has {}",
                  op.value.size());
  const std::optional<Ints> target = context.ints(0);
  if (!target) return single(type, unknown_extents(context, 0));
  wins::Shape output;
  for (const std::int64_t element : *target) output.push_back(to_extent(context, element));
  return single(type, output);
}

Inferred infer(const Range&, const InferContext& context) {
  const DType type = context.dtype(0);
  double bounds[3] = {};
  std::int64_t exact[3] = {};
  for (std::size_t i = 0; i < 3; ++i) {
    context.require(context.dtype(i) == type && type != DType::boolean && type != DType::u8,
                    "start, limit and delta must have one numeric type");
    const Tensor* tensor = context.constant(i);
    if (tensor == nullptr) return single(type, wins::Shape{-1});
    context.require(tensor->size() == 1, "start, limit and delta must be scalars");
    bounds[i] = tensor->cast(DType::f64).data<double>()[0];
    if (type == DType::i64 || type == DType::i32) exact[i] = tensor->cast(DType::i64).data<std::int64_t>()[0];
    if (exact[i] == kUnknownElement) return single(type, wins::Shape{-1});
  }
  context.require(
      std::isfinite(bounds[0]) && std::isfinite(bounds[1]) && std::isfinite(bounds[2]) && bounds[2] != 0,
      "from {} to {} by {} is not a range", bounds[0], bounds[1], bounds[2]);
  const double steps = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  context.require(steps <= static_cast<double>(kMaxExtent), "from {} to {} by {} is too long", bounds[0],
                  bounds[1], bounds[2]);
  if (type == DType::f32 || type == DType::f64) {
    return single(type, wins::Shape{steps > 0 ? static_cast<std::int64_t>(steps) : 0});
  }
  // Few steps: the exact count, from 128-bit integers.
  const Wide span = static_cast<Wide>(exact[1]) - exact[0];
  const Wide delta = exact[2];
  const Wide count = (span + (delta > 0 ? delta - 1 : delta + 1)) / delta;
  return single(type,
                wins::Shape{(span > 0) == (delta > 0) && span != 0 ? static_cast<std::int64_t>(count) : 0});
}

}  // namespace wins::graph
