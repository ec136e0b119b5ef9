// Operators that move elements: copies by tables of offsets, one for each axis of the output.
#include <algorithm>
#include <numeric>

#include "copy.hpp"
#include "kernels.hpp"
#include "problem_facts.hpp"
#include "reshape_axes.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::Pad;
using Table = std::vector<std::int64_t>;

/// A copy from input `input` to output `output` in the storage type.
Copy copy_of(const Problem& problem, std::vector<CopyAxis> axes, std::size_t input = 0, std::size_t output = 0) {
  const Number number = number_of(problem.env.operand);
  return {std::move(axes), number, number, 0, input, output};
}

/// Copies one after the other. `reads` says that input 0 alone is read.
Implementation implement(const Problem& problem, std::string_view name, std::vector<Copy> copies) {
  std::vector<Step> steps;
  for (Copy& copy : copies) steps.push_back(copy_step(std::move(copy)));
  Implementation result;
  result.name = name;
  result.reads = reads_first(problem, 1);
  if (steps.size() == 1) {
    result.step = std::move(steps.front());
  } else {
    result.step = [steps = std::move(steps)](const Arguments& arguments) {
      for (const Step& step : steps) step(arguments);
    };
  }
  return result;
}

Implementation implement(const Problem& problem, std::string_view name, std::vector<CopyAxis> axes, float fill = 0) {
  std::vector<Copy> copies{copy_of(problem, std::move(axes))};
  copies.front().fill = fill;
  return implement(problem, name, std::move(copies));
}

/// Axes that pick elements: `indices` has those of the source for every axis of output `output`, and kFill.
std::vector<CopyAxis> pick_axes(const Problem& problem, std::vector<Table> indices, const std::vector<std::int64_t>& strides, std::size_t output = 0) {
  const Layout& to = problem.outputs[output];
  std::vector<CopyAxis> axes;
  for (std::size_t d = 0; d < indices.size(); ++d) {
    for (std::int64_t& index : indices[d]) {
      if (index != kFill) index *= strides[d];
    }
    axes.push_back({std::move(indices[d]), steps_of(to.shape[d], to.strides[d])});
  }
  if (to.pitch > 0) fill_unit(axes, 1, problem.env.unit());
  return axes;
}

/// The tables 0, 1, 2, ... of whole axes.
std::vector<Table> whole_axes(const Shape& shape) {
  std::vector<Table> tables;
  for (const std::int64_t extent : shape) tables.push_back(steps_of(extent, 1));
  return tables;
}

/// The axes that input `i` names; the first `count` ones when it is absent.
std::vector<std::size_t> named_axes(const Problem& problem, std::size_t i, std::size_t count) {
  std::vector<std::size_t> axes(count);
  std::iota(axes.begin(), axes.end(), std::size_t{0});
  if (!problem.has_input(i)) return axes;
  axes.clear();
  for (const std::int64_t axis : integers(problem, i)) axes.push_back(normal_axis(axis, problem.input_shape(0).size()));
  return axes;
}

std::optional<std::string> refuse_first(const Problem& problem) { return refuse_values(problem, 1); }

/// Parameters are constant.
std::optional<std::string> refuse_parameters(const Problem& problem) {
  if (auto reason = refuse_variable(problem, 1)) return reason;
  return refuse_values(problem, 1);
}

// ---- reshape ---------------------------------------------------------------------------------------

std::optional<std::string> refuse_reshape(const Problem& problem) {
  if (auto reason = refuse_values(problem, 1)) return reason;
  if (!reshape_axes(problem.inputs[0], problem.outputs[0])) return "the shapes have too many factors";
  return std::nullopt;
}

/// Zeros for channels that fill the last unit of an NHWC output.
std::vector<CopyAxis> fill_axes(const Layout& to, std::int64_t unit) {
  std::vector<CopyAxis> axes;
  for (const std::size_t d : {0, 2, 3}) axes.push_back({Table(static_cast<std::size_t>(to.shape[d]), 0), steps_of(to.shape[d], to.strides[d])});
  CopyAxis channels;
  for (std::int64_t c = to.shape[1]; c % unit != 0; ++c) {
    channels.source.push_back(kZero);
    channels.target.push_back(c);
  }
  axes.push_back(std::move(channels));
  return axes;
}

Implementation build_reshape(const Problem& problem) {
  const Layout& to = problem.outputs[0];
  const std::int64_t unit = problem.env.unit();
  std::vector<Copy> copies{copy_of(problem, reshape_axes(problem.inputs[0], to).value())};
  if (to.pitch > 0 && to.shape[1] % unit != 0) copies.push_back(copy_of(problem, fill_axes(to, unit)));
  return implement(problem, "cuda:reshape", std::move(copies));
}

// ---- concat, split ---------------------------------------------------------------------------------

std::optional<std::string> refuse_concat(const Problem& problem) {
  // Single inputs may be empty.
  for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
    if (problem.input(i).dtype != DType::f32) return "not float32";
    if (extent_of(problem.inputs[i]) > INT32_MAX) return "more than 2^31 - 1 elements";
  }
  if (problem.output_shape().empty()) return "no axes";
  return refuse_values(problem, 0);
}

Implementation build_concat(const Problem& problem) {
  const Layout& to = problem.outputs[0];
  const std::size_t axis = normal_axis(std::get<graph::Concat>(problem.node.op).axis, to.shape.size());
  const std::int64_t unit = problem.env.unit();
  std::vector<Copy> copies;
  std::vector<bool> reads;
  std::int64_t start = 0;
  for (std::size_t i = 0; i < problem.node.inputs.size(); ++i) {
    const Layout& from = problem.inputs[i];
    reads.push_back(element_count(from.shape) > 0);
    if (!reads.back()) continue;
    // Channels that are joined fill the last unit once, behind the last input.
    const bool joins_channels = to.pitch > 0 && axis == 1;
    std::vector<CopyAxis> axes = whole(from, to, joins_channels ? 1 : unit);
    axes[axis] = {steps_of(from.shape[axis], from.strides[axis]), steps_of(from.shape[axis], to.strides[axis])};
    for (std::int64_t& offset : axes[axis].target) offset += start * to.strides[axis];
    start += from.shape[axis];
    for (std::int64_t c = start; joins_channels && start == to.shape[axis] && c % unit != 0; ++c) {
      axes[axis].source.push_back(kZero);
      axes[axis].target.push_back(c);
    }
    copies.push_back(copy_of(problem, std::move(axes), i));
  }
  Implementation result = implement(problem, "cuda:concat", std::move(copies));
  result.reads = std::move(reads);
  return result;
}

/// Parts may be empty.
std::optional<std::string> refuse_split(const Problem& problem) {
  for (std::size_t i = 0; i < problem.node.outputs.size(); ++i) {
    if (problem.node.outputs[i] != graph::kNone && extent_of(problem.outputs[i]) > INT32_MAX) return "more than 2^31 - 1 elements";
  }
  if (problem.input(0).dtype != DType::f32) return "not float32";
  if (problem.input_shape(0).empty()) return "no axes";
  if (element_count(problem.input_shape(0)) == 0) return "empty";
  if (extent_of(problem.inputs[0]) > INT32_MAX) return "more than 2^31 - 1 elements";
  return std::nullopt;
}

Implementation build_split(const Problem& problem) {
  const Layout& from = problem.inputs[0];
  const std::size_t axis = normal_axis(std::get<graph::Split>(problem.node.op).axis, from.shape.size());
  std::vector<Copy> copies;
  std::int64_t start = 0;
  for (std::size_t i = 0; i < problem.node.outputs.size(); ++i) {
    if (problem.node.outputs[i] == graph::kNone) continue;
    const Shape& shape = problem.output_shape(i);
    std::vector<Table> indices = whole_axes(shape);
    for (std::int64_t& index : indices[axis]) index += start;
    start += shape[axis];
    if (element_count(shape) > 0) copies.push_back(copy_of(problem, pick_axes(problem, std::move(indices), from.strides, i), 0, i));
  }
  return implement(problem, "cuda:split", std::move(copies));
}

// ---- slice, pad, expand ----------------------------------------------------------------------------

Implementation build_slice(const Problem& problem) {
  const Layout& from = problem.inputs[0];
  const Table starts = integers(problem, 1);
  const std::vector<std::size_t> axes = named_axes(problem, 3, starts.size());
  const Table steps = problem.has_input(4) ? integers(problem, 4) : Table(starts.size(), 1);
  std::vector<Table> indices = whole_axes(from.shape);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t extent = from.shape[axes[i]];
    std::int64_t start = starts[i] < 0 ? starts[i] + extent : starts[i];
    start = std::clamp<std::int64_t>(start, 0, steps[i] > 0 ? extent : extent - 1);
    Table& table = indices[axes[i]];
    table.assign(static_cast<std::size_t>(problem.output_shape()[axes[i]]), start);
    // A step may be far longer than the axis when it is not taken.
    for (std::size_t j = 1; j < table.size(); ++j) table[j] = table[j - 1] + steps[i];
  }
  return implement(problem, "cuda:slice", pick_axes(problem, std::move(indices), from.strides));
}

std::int64_t padded_index(Pad::Mode mode, std::int64_t index, std::int64_t extent) {
  if (index >= 0 && index < extent) return index;
  switch (mode) {
    case Pad::Mode::constant: return kFill;
    case Pad::Mode::reflect: return index < 0 ? -index : 2 * (extent - 1) - index;
    case Pad::Mode::edge: return index < 0 ? 0 : extent - 1;
    case Pad::Mode::wrap: return (index % extent + extent) % extent;
  }
  return kFill;
}

Implementation build_pad(const Problem& problem) {
  const Layout& from = problem.inputs[0];
  const Pad::Mode mode = std::get<Pad>(problem.node.op).mode;
  const Table pads = integers(problem, 1);
  const std::vector<std::size_t> axes = named_axes(problem, 3, from.shape.size());
  std::vector<Table> indices = whole_axes(problem.output_shape());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t extent = from.shape[axes[i]];
    for (std::int64_t& index : indices[axes[i]]) {
      index = padded_index(mode, index - pads[i], extent);
      require(index == kFill || (index >= 0 && index < extent), "axis {} is padded beyond its reflection", axes[i]);
    }
  }
  const bool has_value = problem.has_input(2) && problem.constant(2)->size() > 0;
  return implement(problem, "cuda:pad", pick_axes(problem, std::move(indices), from.strides), has_value ? numbers(problem, 2)[0] : 0.0F);
}

Implementation build_expand(const Problem& problem) {
  const Layout &from = problem.inputs[0], &to = problem.outputs[0];
  const std::size_t missing = to.shape.size() - from.shape.size();
  std::vector<std::int64_t> strides(to.shape.size(), 0);
  for (std::size_t d = missing; d < strides.size(); ++d) {
    if (from.shape[d - missing] != 1) strides[d] = from.strides[d - missing];
  }
  return implement(problem, "cuda:expand", pick_axes(problem, whole_axes(to.shape), strides));
}

// ---- axes in another order -------------------------------------------------------------------------

Implementation build_transpose(const Problem& problem) {
  const Layout &from = problem.inputs[0], &to = problem.outputs[0];
  const graph::Ints& perm = std::get<graph::Transpose>(problem.node.op).perm;
  const std::size_t rank = to.shape.size();
  std::vector<std::int64_t> strides;
  for (std::size_t d = 0; d < rank; ++d) strides.push_back(from.strides[perm.empty() ? rank - 1 - d : normal_axis(perm[d], rank)]);
  return implement(problem, "cuda:transpose", pick_axes(problem, whole_axes(to.shape), strides));
}

Implementation build_depth_to_space(const Problem& problem) {
  const auto& op = std::get<graph::DepthToSpace>(problem.node.op);
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  const std::int64_t b = op.block, c = y.shape[1];
  // Channels of the input from one row (column) inside a block to the next, and from one output channel to the next.
  const std::int64_t row = op.crd ? b : b * c, column = op.crd ? 1 : c, channel = op.crd ? b * b : 1;
  const auto axis = [](std::int64_t extent, std::int64_t from, std::int64_t to) { return CopyAxis{steps_of(extent, from), steps_of(extent, to)}; };
  std::vector<CopyAxis> axes{axis(x.shape[0], x.strides[0], y.strides[0]),  //
                             axis(c, channel * x.strides[1], y.strides[1]),
                             axis(x.shape[2], x.strides[2], b * y.strides[2]),
                             axis(b, row * x.strides[1], y.strides[2]),
                             axis(x.shape[3], x.strides[3], b * y.strides[3]),
                             axis(b, column * x.strides[1], y.strides[3])};
  fill_unit(axes, 1, problem.env.unit());
  return implement(problem, "cuda:depth_to_space", std::move(axes));
}

Implementation build_space_to_depth(const Problem& problem) {
  const std::int64_t b = std::get<graph::SpaceToDepth>(problem.node.op).block;
  const Layout &x = problem.inputs[0], &y = problem.outputs[0];
  CopyAxis channels;
  for (std::int64_t k = 0; k < y.shape[1]; ++k) {
    const std::int64_t place = k / x.shape[1];  // inside a block
    channels.source.push_back(place / b * x.strides[2] + place % b * x.strides[3] + k % x.shape[1] * x.strides[1]);
    channels.target.push_back(k * y.strides[1]);
  }
  std::vector<CopyAxis> axes{{steps_of(y.shape[0], x.strides[0]), steps_of(y.shape[0], y.strides[0])},
                             std::move(channels),
                             {steps_of(y.shape[2], b * x.strides[2]), steps_of(y.shape[2], y.strides[2])},
                             {steps_of(y.shape[3], b * x.strides[3]), steps_of(y.shape[3], y.strides[3])}};
  fill_unit(axes, 1, problem.env.unit());
  return implement(problem, "cuda:space_to_depth", std::move(axes));
}

}  // namespace

Kernel reshape_kernel() { return {"cuda:reshape", &refuse_reshape, &predict_traffic, &build_reshape}; }
Kernel concat_kernel() { return {"cuda:concat", &refuse_concat, &predict_traffic, &build_concat}; }
Kernel split_kernel() { return {"cuda:split", &refuse_split, &predict_traffic, &build_split}; }
Kernel slice_kernel() { return {"cuda:slice", &refuse_parameters, &predict_traffic, &build_slice}; }
Kernel pad_kernel() { return {"cuda:pad", &refuse_parameters, &predict_traffic, &build_pad}; }
Kernel expand_kernel() { return {"cuda:expand", &refuse_first, &predict_traffic, &build_expand}; }
Kernel transpose_kernel() { return {"cuda:transpose", &refuse_first, &predict_traffic, &build_transpose}; }
Kernel depth_to_space_kernel() { return {"cuda:depth_to_space", &refuse_first, &predict_traffic, &build_depth_to_space}; }
Kernel space_to_depth_kernel() { return {"cuda:space_to_depth", &refuse_first, &predict_traffic, &build_space_to_depth}; }

}  // namespace wins::runtime::cuda
