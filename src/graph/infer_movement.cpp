// Operators that pick, repeat or rearrange elements, and reductions.
#include <algorithm>
#include <cmath>

#include "infer.hpp"

namespace wins::graph {

AxisSlice resolve_slice(std::int64_t start, std::int64_t end, std::int64_t step, std::int64_t extent) {
  // Larger steps than the axis select one element; clamping them keeps the sums small.
  step = std::clamp(step, -kMaxExtent, kMaxExtent);
  const bool forward = step > 0;
  if (start < 0) start += extent;
  if (end < 0) end += extent;
  start = std::clamp<std::int64_t>(start, 0, forward ? extent : std::max<std::int64_t>(extent - 1, 0));
  end = std::clamp<std::int64_t>(end, forward ? 0 : -1, forward ? extent : extent - 1);
  const std::int64_t distance = forward ? end - start : start - end;
  const std::int64_t stride = forward ? step : -step;
  return {start, step, distance <= 0 || extent == 0 ? 0 : (distance + stride - 1) / stride};
}

std::vector<bool> axis_flags(const InferContext& context, const Ints& axes, std::size_t rank) {
  std::vector<bool> flags(rank, false);
  for (const std::size_t axis : context.axes(axes, rank)) flags[axis] = true;
  return flags;
}

Ints split_sizes(const InferContext& context, std::int64_t extent) {
  const auto parts = static_cast<std::int64_t>(context.output_count());
  if (context.has(1)) {
    const std::optional<Ints> sizes = context.ints(1);
    if (!sizes) return Ints(static_cast<std::size_t>(parts), -1);
    context.require(static_cast<std::int64_t>(sizes->size()) == parts, "{} sizes for {} outputs",
                    sizes->size(), parts);
    std::int64_t total = 0;
    for (const std::int64_t size : *sizes) {
      context.require(size >= 0 && size <= kMaxExtent, "size {} is out of range", size);
      total += size;
    }
    context.require(extent < 0 || total == extent, "sizes add up to {}, the axis has {}", total, extent);
    return *sizes;
  }
  if (extent < 0) return Ints(static_cast<std::size_t>(parts), -1);
  const std::int64_t chunk = (extent + parts - 1) / parts;
  Ints sizes(static_cast<std::size_t>(parts), chunk);
  sizes.back() = extent - chunk * (parts - 1);
  context.require(sizes.back() >= 0, "an axis of {} does not split into {} parts", extent, parts);
  return sizes;
}

std::optional<Ints> resolve_pads(const InferContext& context, std::size_t rank) {
  const std::optional<Ints> pads = context.ints(1);
  if (!pads) return {};
  Ints named;
  if (context.has(3)) {
    const std::optional<Ints> axes = context.ints(3);
    if (!axes) return {};
    named = *axes;
  } else {
    for (std::size_t i = 0; i < rank; ++i) named.push_back(static_cast<std::int64_t>(i));
  }
  const std::vector<std::size_t> axes = context.axes(named, rank);
  context.require(pads->size() == 2 * axes.size(), "{} pads for {} axes", pads->size(), axes.size());
  Ints result(2 * rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    result[axes[i]] = (*pads)[i];
    result[axes[i] + rank] = (*pads)[i + axes.size()];
  }
  for (const std::int64_t pad : result) {
    context.require(pad == kUnknownElement || (pad >= -kMaxExtent && pad <= kMaxExtent),
                    "pad {} is out of range", pad);
  }
  return result;
}

Inferred infer(const Transpose& op, const InferContext& context) {
  if (!context.shape(0)) return single(context.dtype(0), {});
  const wins::Shape& x = *context.shape(0);
  if (op.perm.empty()) return single(context.dtype(0), wins::Shape(x.rbegin(), x.rend()));
  context.require(op.perm.size() == x.size(), "perm has {} axes, the input has rank {}", op.perm.size(),
                  x.size());
  wins::Shape output;
  for (const std::size_t axis : context.axes(op.perm, x.size())) output.push_back(x[axis]);
  return single(context.dtype(0), output);
}

Inferred infer(const Concat& op, const InferContext& context) {
  std::optional<wins::Shape> output;
  std::size_t axis = 0;
  bool total_known = true;
  for (std::size_t i = 0; i < context.input_count(); ++i) {
    context.require(context.dtype(i) == context.dtype(0), "inputs 0 and {} are {} and {}", i,
                    name_of(context.dtype(0)), name_of(context.dtype(i)));
    if (!context.shape(i)) {
      total_known = false;
      continue;
    }
    const wins::Shape& x = *context.shape(i);
    if (!output) {
      axis = context.axis(op.axis, x.size());
      output = x;
      (*output)[axis] = 0;
    }
    context.require(x.size() == output->size(), "inputs have ranks {} and {}", output->size(), x.size());
    for (std::size_t a = 0; a < x.size(); ++a) {
      if (a != axis) (*output)[a] = context.merge((*output)[a], x[a], "extents of the inputs");
    }
    total_known = total_known && x[axis] >= 0;
    if (total_known) (*output)[axis] += x[axis];
    context.require((*output)[axis] <= kMaxExtent, "the output is too long");
  }
  if (output && !total_known) (*output)[axis] = -1;
  return single(context.dtype(0), output);
}

Inferred infer(const Split& op, const InferContext& context) {
  if (!context.shape(0)) return Inferred(context.output_count(), ValueInfo{context.dtype(0), {}});
  const wins::Shape& x = *context.shape(0);
  const std::size_t axis = context.axis(op.axis, x.size());
  Inferred outputs;
  for (const std::int64_t size : split_sizes(context, x[axis])) {
    wins::Shape part = x;
    part[axis] = size;
    outputs.push_back({context.dtype(0), part});
  }
  return outputs;
}

Inferred infer(const Slice&, const InferContext& context) {
  if (!context.shape(0)) return single(context.dtype(0), {});
  wins::Shape output = *context.shape(0);
  const std::optional<Ints> starts = context.ints(1), ends = context.ints(2);
  Ints named;
  const std::int64_t length = context.length(1);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(length, kMaxRank); ++i) named.push_back(i);
  const std::optional<Ints> axes = context.has(3) ? context.ints(3) : named;
  const std::optional<Ints> steps = context.has(4) ? context.ints(4) : Ints(named.size(), 1);
  if (!axes || length < 0) return single(context.dtype(0), wins::Shape(output.size(), -1));
  const std::vector<std::size_t> resolved = context.axes(*axes, output.size());
  for (const auto& list : {starts, ends, steps}) {
    context.require(!list || list->size() == resolved.size(),
                    "starts, ends, axes and steps differ in length");
  }
  for (std::size_t i = 0; i < resolved.size(); ++i) {
    std::int64_t& extent = output[resolved[i]];
    const bool known =
        starts && ends && steps && (*starts)[i] != kUnknownElement && (*ends)[i] != kUnknownElement;
    if (steps) context.require((*steps)[i] != 0, "step 0");
    extent = known && extent >= 0 ? resolve_slice((*starts)[i], (*ends)[i], (*steps)[i], extent).count : -1;
  }
  return single(context.dtype(0), output);
}

Inferred infer(const Gather& op, const InferContext& context) {
  context.require(context.dtype(1) == DType::i64 || context.dtype(1) == DType::i32,
                  "indices must be integers");
  if (!context.shape(0)) return single(context.dtype(0), {});
  const wins::Shape& x = *context.shape(0);
  const auto axis = static_cast<std::ptrdiff_t>(context.axis(op.axis, x.size()));
  if (!context.shape(1)) return single(context.dtype(0), {});
  wins::Shape output(x.begin(), x.begin() + axis);
  output.insert(output.end(), context.shape(1)->begin(), context.shape(1)->end());
  output.insert(output.end(), x.begin() + axis + 1, x.end());
  return single(context.dtype(0), output);
}

Inferred infer(const Pad& op, const InferContext& context) {
  if (!context.shape(0)) return single(context.dtype(0), {});
  wins::Shape output = *context.shape(0);
  const std::optional<Ints> pads = resolve_pads(context, output.size());
  context.require(!context.has(2) || context.dtype(2) == context.dtype(0), "value and input differ in type");
  for (std::size_t i = 0; i < output.size(); ++i) {
    const std::int64_t extent = output[i];
    if (!pads || extent < 0 || (*pads)[i] == kUnknownElement ||
        (*pads)[i + output.size()] == kUnknownElement) {
      output[i] = -1;
      continue;
    }
    const std::int64_t begin = (*pads)[i], end = (*pads)[i + output.size()];
    context.require(
        op.mode != Pad::Mode::reflect || (begin < extent && end < extent) || (begin <= 0 && end <= 0),
        "reflecting {} and {} needs an axis longer than {}", begin, end, extent);
    context.require(op.mode == Pad::Mode::constant || extent > 0 || (begin <= 0 && end <= 0),
                    "axis {} is empty", i);
    output[i] = extent + begin + end;
    context.require(output[i] >= 0, "pads {} and {} leave nothing of {}", begin, end, extent);
  }
  return single(context.dtype(0), output);
}

Inferred infer(const Resize&, const InferContext& context) {
  context.require_float(0);
  if (!context.shape(0)) return single(context.dtype(0), {});
  const wins::Shape& x = *context.shape(0);
  wins::Shape output(x.size(), -1);
  const auto given = [&](std::size_t i) {
    return context.has(i) &&
           !(context.shape(i) && context.shape(i)->size() == 1 && context.shape(i)->front() == 0);
  };
  context.require(given(2) != given(3), "needs either scales or sizes");
  if (given(3)) {
    const std::optional<Ints> sizes = context.ints(3);
    if (!sizes) return single(context.dtype(0), output);
    context.require(sizes->size() == x.size(), "{} sizes for rank {}", sizes->size(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      if ((*sizes)[i] == kUnknownElement) continue;
      context.require((*sizes)[i] >= 1 && (*sizes)[i] <= kMaxExtent, "size {} is out of range", (*sizes)[i]);
      output[i] = (*sizes)[i];
    }
    return single(context.dtype(0), output);
  }
  const Tensor* scales = context.constant(2);
  if (scales == nullptr) return single(context.dtype(0), output);
  context.require(scales->dtype() == DType::f32 && scales->size() == static_cast<std::int64_t>(x.size()),
                  "{} scales for rank {}", scales->size(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float scale = scales->data<float>()[i];
    context.require(std::isfinite(scale) && scale > 0, "scale {} is out of range", scale);
    if (x[i] < 0) {
      if (scale != 1.0F) continue;
      output[i] = x[i];
      continue;
    }
    // In float, as ONNX's own inference and its runtimes compute it.
    const float extent = std::floor(static_cast<float>(x[i]) * scale);
    context.require(extent >= 1 && extent <= static_cast<float>(kMaxExtent), "scale {} turns {} into {}",
                    scale, x[i], extent);
    output[i] = scale == 1.0F ? x[i] : static_cast<std::int64_t>(extent);
  }
  return single(context.dtype(0), output);
}

Inferred infer(const DepthToSpace& op, const InferContext& context) {
  context.require(op.block >= 1 && op.block <= (1 << 14), "block {} is out of range", op.block);
  context.require_rank(0, 4);
  if (!context.shape(0)) return single(context.dtype(0), wins::Shape(4, -1));
  wins::Shape x = *context.shape(0);
  context.require(x[1] < 0 || x[1] % (op.block * op.block) == 0, "{} channels do not fill blocks of {}x{}",
                  x[1], op.block, op.block);
  if (x[1] >= 0) x[1] /= op.block * op.block;
  for (std::size_t i = 2; i < 4; ++i) {
    if (x[i] >= 0) x[i] *= op.block;
  }
  return single(context.dtype(0), x);
}

Inferred infer(const SpaceToDepth& op, const InferContext& context) {
  context.require(op.block >= 1 && op.block <= (1 << 11), "block {} is out of range", op.block);
  context.require_rank(0, 4);
  if (!context.shape(0)) return single(context.dtype(0), wins::Shape(4, -1));
  wins::Shape x = *context.shape(0);
  for (std::size_t i = 2; i < 4; ++i) {
    context.require(x[i] < 0 || x[i] % op.block == 0, "an extent of {} does not split into blocks of {}",
                    x[i], op.block);
    if (x[i] >= 0) x[i] /= op.block;
  }
  if (x[1] >= 0) x[1] *= op.block * op.block;
  return single(context.dtype(0), x);
}

Inferred infer(const Reduce& op, const InferContext& context) {
  const DType type = context.dtype(0);
  context.require(type != DType::boolean && type != DType::u8, "does not take {}", name_of(type));
  if (!context.shape(0)) return single(type, {});
  const wins::Shape& x = *context.shape(0);
  std::optional<Ints> axes = context.has(1) ? context.ints(1) : Ints{};
  if (!axes) return single(type, op.keep_dims ? std::optional(wins::Shape(x.size(), -1)) : std::nullopt);
  std::vector<bool> reduced = axis_flags(context, *axes, x.size());
  if (axes->empty()) reduced.assign(x.size(), !op.noop_with_empty_axes);
  wins::Shape output;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!reduced[i])
      output.push_back(x[i]);
    else if (op.keep_dims)
      output.push_back(1);
  }
  return single(type, output);
}

}  // namespace wins::graph
