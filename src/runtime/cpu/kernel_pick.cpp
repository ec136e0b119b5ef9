// Operators whose output elements are elements of the input, axis by axis: slices, padding,
// expansion, nearest resampling. They stay in the layout of their input.
#include <algorithm>

#include "kernels.hpp"
#include "pick.hpp"
#include "resize_axis.hpp"

namespace wins::runtime::cpu {
namespace {

using graph::Pad;

Cost predict_copy(const Problem& problem) {
  double values = 0;
  for (std::size_t i = 0; i < problem.node.outputs.size(); ++i) {
    if (problem.node.outputs[i] != graph::kNone)
      values += static_cast<double>(element_count(problem.output_shape(i)));
  }
  return predict_roofline(0, 8 * values, 1, problem.env.threads, problem.env.machine);
}

std::optional<std::string> refuse_tensor(const Problem& problem) {
  if (!problem.is_float() || problem.input(0).dtype != DType::f32) return "not float32";
  if (problem.input_shape(0).empty()) return "no axes";
  if (element_count(problem.input_shape(0)) == 0 || element_count(problem.output_shape()) == 0)
    return "empty";
  return std::nullopt;
}

bool given(const Problem& problem, std::size_t i) {
  return i < problem.node.inputs.size() && problem.has_input(i);
}

/// Integers of a constant input.
std::vector<std::int64_t> integers(const Problem& problem, std::size_t i) {
  const Tensor values = problem.constant(i)->cast(DType::i64);
  const auto data = values.data<std::int64_t>();
  return {data.begin(), data.end()};
}

std::optional<std::string> refuse_variable(const Problem& problem, std::size_t first) {
  for (std::size_t i = first; i < problem.node.inputs.size(); ++i) {
    if (problem.has_input(i) && problem.constant(i) == nullptr) return "parameters are not constant";
  }
  return refuse_tensor(problem);
}

std::size_t normal_axis(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

/// The axes that an input names; all of the first `count` when it is absent.
std::vector<std::size_t> named_axes(const Problem& problem, std::size_t i, std::size_t count) {
  std::vector<std::size_t> axes;
  if (given(problem, i)) {
    for (const std::int64_t axis : integers(problem, i))
      axes.push_back(normal_axis(axis, problem.input_shape(0).size()));
    return axes;
  }
  for (std::size_t axis = 0; axis < count; ++axis) axes.push_back(axis);
  return axes;
}

/// One step for each output of the node, run in turn.
class Steps : public Step {
 public:
  void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }
  void run(const Arguments& arguments) override {
    for (const auto& step : steps_) step->run(arguments);
  }

 private:
  std::vector<std::unique_ptr<Step>> steps_;
};

/// Indices along each axis of input 0 seen as `source`, for each output.
struct Picks {
  Shape source;
  std::vector<std::vector<Table>> outputs;
  float fill = 0;
};

Implementation build_picks(const Problem& problem, std::string name, const Picks& picks) {
  const auto& env = problem.env;
  const bool blocked = problem.existing[0] == Layout::blocked && picks.outputs.front().size() == 4;
  Implementation result;
  result.name = std::move(name);
  result.output = blocked ? Layout::blocked : Layout::plain;
  result.pitched = true;
  result.inputs.assign(problem.node.inputs.size(), Need::none);
  result.inputs[0] = need(result.output);
  auto steps = std::make_unique<Steps>();
  for (std::size_t i = 0; i < picks.outputs.size(); ++i) {
    if (problem.node.outputs[i] == graph::kNone || element_count(problem.output_shape(i)) == 0) continue;
    if (blocked) {
      steps->add(blocked_pick_step(
          blocked_offsets(picks.outputs[i], picks.source, env.block, problem.input_pitches[0]),
          {i, problem.output_pitches[i], env.block}, picks.fill, env.threads));
    } else {
      steps->add(plain_pick_step(plain_offsets(picks.outputs[i], picks.source), i, picks.fill, env.threads));
    }
  }
  result.step = std::move(steps);
  return result;
}

// ---- slice, split ----------------------------------------------------------------------------------

std::optional<std::string> refuse_slice(const Problem& problem) {
  return refuse_variable(problem, 1);
}

Implementation build_slice(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const std::vector<std::int64_t> starts = integers(problem, 1);
  const std::vector<std::size_t> axes = named_axes(problem, 3, starts.size());
  std::vector<std::int64_t> steps(starts.size(), 1);
  if (given(problem, 4)) steps = integers(problem, 4);
  std::vector<Table> tables = whole_axes(x);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t extent = x[axes[i]], count = problem.output_shape()[axes[i]];
    std::int64_t start = starts[i] < 0 ? starts[i] + extent : starts[i];
    start = std::clamp<std::int64_t>(start, 0, steps[i] > 0 ? extent : extent - 1);
    Table& table = tables[axes[i]];
    table.assign(static_cast<std::size_t>(count), start);
    // A step may be far longer than the axis when it is not taken.
    for (std::size_t j = 1; j < table.size(); ++j) table[j] = table[j - 1] + steps[i];
  }
  return build_picks(problem, "cpu:slice", {x, {std::move(tables)}});
}

std::optional<std::string> refuse_split(const Problem& problem) {
  return refuse_tensor(problem);
}

Implementation build_split(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const std::size_t axis = normal_axis(std::get<graph::Split>(problem.node.op).axis, x.size());
  Picks picks{x, {}};
  std::int64_t start = 0;
  for (std::size_t i = 0; i < problem.node.outputs.size(); ++i) {
    std::vector<Table> tables = whole_axes(problem.output_shape(i));
    for (std::int64_t& index : tables[axis]) index += start;
    start += problem.output_shape(i)[axis];
    picks.outputs.push_back(std::move(tables));
  }
  return build_picks(problem, "cpu:split", picks);
}

// ---- pad -------------------------------------------------------------------------------------------

std::optional<std::string> refuse_pad(const Problem& problem) {
  return refuse_variable(problem, 1);
}

std::int64_t padded_index(Pad::Mode mode, std::int64_t index, std::int64_t extent) {
  if (index >= 0 && index < extent) return index;
  switch (mode) {
    case Pad::Mode::reflect:
      return index < 0 ? -index : 2 * (extent - 1) - index;
    case Pad::Mode::edge:
      return index < 0 ? 0 : extent - 1;
    case Pad::Mode::wrap:
      return (index % extent + extent) % extent;
    default:
      return kFill;
  }
}

Implementation build_pad(const Problem& problem) {
  const Shape& x = problem.input_shape(0);
  const Pad::Mode mode = std::get<Pad>(problem.node.op).mode;
  const std::vector<std::int64_t> pads = integers(problem, 1);
  const std::vector<std::size_t> axes = named_axes(problem, 3, x.size());
  Picks picks{x, {whole_axes(problem.output_shape())}};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    for (std::int64_t& index : picks.outputs[0][axes[i]])
      index = padded_index(mode, index - pads[i], x[axes[i]]);
  }
  if (given(problem, 2) && problem.constant(2)->size() > 0)
    picks.fill = problem.constant(2)->data<float>()[0];
  return build_picks(problem, "cpu:pad", picks);
}

// ---- expand ----------------------------------------------------------------------------------------

std::optional<std::string> refuse_expand(const Problem& problem) {
  return refuse_tensor(problem);
}

Implementation build_expand(const Problem& problem) {
  const Shape &x = problem.input_shape(0), &y = problem.output_shape();
  Shape source(y.size() - x.size(), 1);
  source.insert(source.end(), x.begin(), x.end());
  Picks picks{source, {whole_axes(y)}};
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (source[i] == 1) std::fill(picks.outputs[0][i].begin(), picks.outputs[0][i].end(), 0);
  }
  return build_picks(problem, "cpu:expand", picks);
}

// ---- resize ----------------------------------------------------------------------------------------

std::optional<std::string> refuse_nearest(const Problem& problem) {
  if (std::get<graph::Resize>(problem.node.op).mode != graph::Resize::Mode::nearest) return "not nearest";
  if (const auto reason = refuse_resize_axes(problem)) return reason;
  return refuse_tensor(problem);
}

Implementation build_nearest(const Problem& problem) {
  Picks picks{problem.input_shape(0), {{}}};
  for (const ResizeAxis& axis : resize_axes(problem)) picks.outputs[0].push_back(axis.source);
  return build_picks(problem, "cpu:resize_nearest", picks);
}

}  // namespace

Kernel slice_kernel() {
  return {"cpu:slice", &refuse_slice, &predict_copy, &build_slice};
}
Kernel split_kernel() {
  return {"cpu:split", &refuse_split, &predict_copy, &build_split};
}
Kernel pad_kernel() {
  return {"cpu:pad", &refuse_pad, &predict_copy, &build_pad};
}
Kernel expand_kernel() {
  return {"cpu:expand", &refuse_expand, &predict_copy, &build_expand};
}
Kernel resize_nearest_kernel() {
  return {"cpu:resize_nearest", &refuse_nearest, &predict_copy, &build_nearest};
}

}  // namespace wins::runtime::cpu
