// Data movement: every operator here is a table of source offsets for each output axis.
#include <algorithm>
#include <cstring>

#include "evaluate_ops.hpp"

namespace wins::graph {
namespace {

/// Copies elements of one size; recursion over the axes.
template <class Word>
class Picker {
 public:
  Picker(const Tensor& source, const std::vector<AxisOffsets>& offsets, const std::byte* fill,
         std::byte* target)
      : source_(reinterpret_cast<const Word*>(source.bytes())),
        target_(reinterpret_cast<Word*>(target)),
        offsets_(offsets) {
    if (fill != nullptr) std::memcpy(&fill_, fill, sizeof fill_);
    if (!offsets.empty()) {
      const AxisOffsets& last = offsets.back();
      consecutive_ = !last.empty() && last.front() != kFill;
      for (std::size_t i = 1; consecutive_ && i < last.size(); ++i) {
        consecutive_ = last[i] == last[0] + static_cast<std::int64_t>(i);
      }
    }
  }

  void run() {
    if (offsets_.empty())
      *target_ = *source_;
    else
      axis(0, 0, false);
  }

 private:
  void axis(std::size_t depth, std::int64_t base, bool filled) {
    if (depth + 1 == offsets_.size()) return row(base, filled);
    for (const std::int64_t offset : offsets_[depth]) {
      axis(depth + 1, base + offset, filled || offset == kFill);
    }
  }

  void row(std::int64_t base, bool filled) {
    const AxisOffsets& last = offsets_.back();
    if (filled) {
      target_ = std::fill_n(target_, last.size(), fill_);
    } else if (consecutive_) {
      target_ = std::copy_n(source_ + base + last.front(), last.size(), target_);
    } else {
      for (const std::int64_t offset : last) *target_++ = offset == kFill ? fill_ : source_[base + offset];
    }
  }

  const Word* source_;
  Word* target_;
  const std::vector<AxisOffsets>& offsets_;
  Word fill_{};
  bool consecutive_ = false;
};

/// Offsets start, start + step, ... of `count` indices along an axis with this stride.
AxisOffsets arithmetic(std::int64_t count, std::int64_t stride, std::int64_t start = 0,
                       std::int64_t step = 1) {
  AxisOffsets offsets(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) offsets[static_cast<std::size_t>(i)] = (start + i * step) * stride;
  return offsets;
}

/// Offsets of whole axes: the identity copy.
std::vector<AxisOffsets> whole(const wins::Shape& shape) {
  const std::vector<std::int64_t> strides = strides_of(shape);
  std::vector<AxisOffsets> offsets;
  for (std::size_t i = 0; i < shape.size(); ++i) offsets.push_back(arithmetic(shape[i], strides[i]));
  return offsets;
}

std::vector<Tensor> renamed(const Evaluation& e) {
  return {e.input(0).reshaped(e.shape())};
}

Tensor transposed(const Tensor& x, const std::vector<std::size_t>& perm) {
  const std::vector<AxisOffsets> axes = whole(x.shape());
  wins::Shape shape;
  std::vector<AxisOffsets> offsets;
  for (const std::size_t axis : perm) {
    shape.push_back(x.dim(axis));
    offsets.push_back(axes[axis]);
  }
  return pick(x, shape, offsets);
}

/// Source index of a padded one, or kFill.
std::int64_t padded_index(Pad::Mode mode, std::int64_t index, std::int64_t extent) {
  if (index >= 0 && index < extent) return index;
  switch (mode) {
    case Pad::Mode::constant:
      return kFill;
    case Pad::Mode::reflect:
      return index < 0 ? -index : 2 * (extent - 1) - index;
    case Pad::Mode::edge:
      return index < 0 ? 0 : extent - 1;
    case Pad::Mode::wrap:
      return ((index % extent) + extent) % extent;
  }
  return kFill;
}

}  // namespace

std::vector<std::int64_t> strides_of(const wins::Shape& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Tensor pick(const Tensor& source, const wins::Shape& shape, const std::vector<AxisOffsets>& offsets,
            const std::byte* fill) {
  Tensor result(source.dtype(), shape);
  if (result.size() == 0) return result;
  std::byte* target = result.mutable_bytes();
  switch (size_of(source.dtype())) {
    case 1:
      Picker<std::uint8_t>(source, offsets, fill, target).run();
      break;
    case 4:
      Picker<std::uint32_t>(source, offsets, fill, target).run();
      break;
    default:
      Picker<std::uint64_t>(source, offsets, fill, target).run();
      break;
  }
  return result;
}

Tensor broadcast_to(const Tensor& source, const wins::Shape& shape) {
  if (source.shape() == shape) return source;
  const std::vector<std::int64_t> strides = strides_of(source.shape());
  const std::size_t lead = shape.size() - source.rank();
  std::vector<AxisOffsets> offsets;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool repeated = i < lead || source.dim(i - lead) == 1;
    offsets.push_back(arithmetic(shape[i], repeated ? 0 : strides[i - lead]));
  }
  return pick(source, shape, offsets);
}

std::vector<Tensor> compute(const Reshape&, const Evaluation& e) {
  return renamed(e);
}
std::vector<Tensor> compute(const Flatten&, const Evaluation& e) {
  return renamed(e);
}
std::vector<Tensor> compute(const Squeeze&, const Evaluation& e) {
  return renamed(e);
}
std::vector<Tensor> compute(const Unsqueeze&, const Evaluation& e) {
  return renamed(e);
}
std::vector<Tensor> compute(const Expand&, const Evaluation& e) {
  return {broadcast_to(e.input(0), e.shape())};
}

std::vector<Tensor> compute(const Transpose& op, const Evaluation& e) {
  const std::size_t rank = e.input(0).rank();
  std::vector<std::size_t> perm;
  for (std::size_t i = 0; i < rank; ++i) {
    perm.push_back(op.perm.empty() ? rank - 1 - i : e.context.axis(op.perm[i], rank));
  }
  return {transposed(e.input(0), perm)};
}

std::vector<Tensor> compute(const Concat& op, const Evaluation& e) {
  Tensor result(e.outputs[0].dtype, e.shape());
  if (result.size() == 0) return {result};
  const std::size_t axis = e.context.axis(op.axis, e.shape().size());
  const std::size_t size = size_of(result.dtype());
  const auto block = [&](const wins::Shape& shape) {
    return static_cast<std::size_t>(
               element_count(wins::Shape(shape.begin() + static_cast<std::ptrdiff_t>(axis), shape.end()))) *
           size;
  };
  const std::size_t pitch = block(e.shape());
  const std::size_t repeats = result.byte_size() / pitch;
  std::byte* target = result.mutable_bytes();
  std::size_t offset = 0;
  for (const Tensor* part : e.inputs) {
    const std::size_t bytes = block(part->shape());
    for (std::size_t i = 0; i < repeats && bytes > 0; ++i) {
      std::memcpy(target + i * pitch + offset, part->bytes() + i * bytes, bytes);
    }
    offset += bytes;
  }
  return {result};
}

std::vector<Tensor> compute(const Split& op, const Evaluation& e) {
  const wins::Shape& x = e.input(0).shape();
  const std::size_t axis = e.context.axis(op.axis, x.size());
  const std::int64_t stride = strides_of(x)[axis];
  std::vector<AxisOffsets> offsets = whole(x);
  std::vector<Tensor> parts;
  std::int64_t start = 0;
  for (std::size_t i = 0; i < e.outputs.size(); ++i) {
    const std::int64_t extent = e.shape(i)[axis];
    offsets[axis] = arithmetic(extent, stride, start);
    parts.push_back(pick(e.input(0), e.shape(i), offsets));
    start += extent;
  }
  return parts;
}

std::vector<Tensor> compute(const Slice&, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const Ints starts = *e.context.ints(1), ends = *e.context.ints(2);
  std::vector<std::size_t> axes;
  for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(i);
  if (e.context.has(3)) axes = e.context.axes(*e.context.ints(3), x.rank());
  const Ints steps = e.context.has(4) ? *e.context.ints(4) : Ints(starts.size(), 1);
  const std::vector<std::int64_t> strides = strides_of(x.shape());
  std::vector<AxisOffsets> offsets = whole(x.shape());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const AxisSlice slice = resolve_slice(starts[i], ends[i], steps[i], x.dim(axes[i]));
    offsets[axes[i]] =
        arithmetic(slice.count, strides[axes[i]], slice.start, slice.count > 1 ? slice.step : 0);
  }
  return {pick(x, e.shape(), offsets)};
}

std::vector<Tensor> compute(const Gather& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const std::size_t axis = e.context.axis(op.axis, x.rank());
  const Tensor wide = e.input(1).cast(DType::i64);
  const std::int64_t extent = x.dim(axis);
  const std::int64_t stride = strides_of(x.shape())[axis];
  AxisOffsets gathered;
  for (const std::int64_t index : wide.data<std::int64_t>()) {
    e.context.require(index >= -extent && index < extent, "index {} is outside an axis of {}", index, extent);
    gathered.push_back((index < 0 ? index + extent : index) * stride);
  }
  // Indices of any rank are one axis while copying.
  std::vector<AxisOffsets> offsets = whole(x.shape());
  wins::Shape shape = x.shape();
  shape[axis] = wide.size();
  offsets[axis] = std::move(gathered);
  return {pick(x, shape, offsets).reshaped(e.shape())};
}

std::vector<Tensor> compute(const Pad& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const Ints pads = *resolve_pads(e.context, x.rank());
  const std::vector<std::int64_t> strides = strides_of(x.shape());
  std::vector<AxisOffsets> offsets;
  for (std::size_t i = 0; i < x.rank(); ++i) {
    AxisOffsets axis(static_cast<std::size_t>(e.shape()[i]));
    for (std::size_t j = 0; j < axis.size(); ++j) {
      const std::int64_t index = padded_index(op.mode, static_cast<std::int64_t>(j) - pads[i], x.dim(i));
      axis[j] = index == kFill ? kFill : index * strides[i];
    }
    offsets.push_back(std::move(axis));
  }
  const bool has_value = e.context.has(2) && e.input(2).size() > 0;
  return {pick(x, e.shape(), offsets, has_value ? e.input(2).bytes() : nullptr)};
}

std::vector<Tensor> compute(const DepthToSpace& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const std::int64_t b = op.block, n = x.dim(0), c = x.dim(1) / (b * b), h = x.dim(2), w = x.dim(3);
  const Tensor split = x.reshaped(op.crd ? wins::Shape{n, c, b, b, h, w} : wins::Shape{n, b, b, c, h, w});
  return {transposed(split, op.crd ? std::vector<std::size_t>{0, 1, 4, 2, 5, 3}
                                   : std::vector<std::size_t>{0, 3, 4, 1, 5, 2})
              .reshaped(e.shape())};
}

std::vector<Tensor> compute(const SpaceToDepth& op, const Evaluation& e) {
  const Tensor& x = e.input(0);
  const std::int64_t b = op.block;
  const Tensor split = x.reshaped({x.dim(0), x.dim(1), x.dim(2) / b, b, x.dim(3) / b, b});
  return {transposed(split, {0, 3, 5, 1, 2, 4}).reshaped(e.shape())};
}

}  // namespace wins::graph
