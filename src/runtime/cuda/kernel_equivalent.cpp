// A pruned Winograd layer by the convolution that it equals: kernel p x p, a step of a tile, four filters for each of the layer's,
// and their outputs put in place, by the convolution's kernel or by a step of its own. For masks that are not of rows, and for rows where little was pruned.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "candidates.hpp"
#include "equivalent_filters.hpp"
#include "fused_activation.hpp"
#include "kernels.hpp"
#include "pixel_shuffle.hpp"
#include "problem_facts.hpp"
#include "wins/base/error.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cuda {
namespace {

using graph::kNone;
using graph::WinogradConv;

constexpr std::int64_t kOutputs = 4;  // of a tile
/// Rows kept below which the forms that skip rows are faster whatever the layer.
constexpr double kFewestRows = 0.5;

const WinogradConv& op_of(const Problem& problem) { return *problem.node.as<WinogradConv>(); }

/// Channels of one output of a tile: whole units.
std::int64_t part_of(const Problem& problem) {
  const std::int64_t unit = problem.env.unit();
  return (problem.output_shape()[1] + unit - 1) / unit * unit;
}

/// Where bias and activation fit the convolution itself, nothing is left for the second step.
bool activates_inside(const Problem& problem) { return !problem.has_input(3) && in_epilogue(op_of(problem).activation.kind); }

Shape filter_shape(const Problem& problem) {
  const WinogradConv& op = op_of(problem);
  const std::int64_t p = winograd::algorithm(op.m, op.r, op.stride).p();
  return {kOutputs * part_of(problem), problem.input_shape(1)[2], p, p};
}

/// Filters of output q = 2 a + b from q part_of() on, zeros between.
Tensor arranged_filters(const Problem& problem) {
  const Tensor given = equivalent_filters(problem);
  Tensor filters(DType::f32, filter_shape(problem));
  const std::int64_t part = part_of(problem), size = given.size() / given.dim(0);
  const auto from = given.data<float>();
  const auto to = filters.mutable_data<float>();
  for (std::int64_t row = 0; row < given.dim(0); ++row) {
    const std::int64_t target = row % kOutputs * part + row / kOutputs;
    std::copy_n(from.begin() + row * size, size, to.begin() + target * size);
  }
  return filters;
}

Tensor arranged_bias(const Problem& problem) {
  const std::int64_t part = part_of(problem);
  Tensor bias(DType::f32, {kOutputs * part});
  const auto from = problem.constant(2)->data<float>();
  for (std::int64_t q = 0; q < kOutputs; ++q) std::ranges::copy(from, bias.mutable_data<float>().begin() + q * part);
  return bias;
}

/// A network of that convolution alone.
class Equivalent {
 public:
  Equivalent(const Problem& problem, Tensor filters)
      : graph_(make_graph(problem, std::move(filters))), options_(options_of(problem)),
        env_{graph_, options_, problem.env.operand, problem.env.weights, problem.env.libraries}, problem_{env_, graph_.nodes.at(0), {}, {}} {
    problem_.inputs.resize(graph_.nodes[0].inputs.size());
    problem_.inputs[0] = problem.inputs[0];
    problem_.outputs = {layout_of(problem_.output_shape(), problem.env.unit())};
  }
  Equivalent(const Equivalent&) = delete;
  Equivalent& operator=(const Equivalent&) = delete;

  const Problem& problem() const { return problem_; }

 private:
  static SessionOptions options_of(const Problem& problem) {
    SessionOptions options = problem.env.options;
    options.force_kernel.clear();
    options.tune = false;
    return options;
  }

  static graph::Graph make_graph(const Problem& problem, Tensor filters) {
    const WinogradConv& op = op_of(problem);
    const winograd::Algorithm& algorithm = winograd::algorithm(op.m, op.r, op.stride);
    const Shape &in = problem.input_shape(0), &out = problem.output_shape();
    const Shape tiles{out[0], filters.dim(0), (out[2] + 1) / 2, (out[3] + 1) / 2};
    graph::Conv conv;
    conv.window.kernel = {algorithm.p(), algorithm.p()};
    conv.window.stride = {algorithm.step(), algorithm.step()};
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const std::int64_t before = op.pads[axis], extent = (tiles[2 + axis] - 1) * algorithm.step() + algorithm.p();
      conv.window.pads[axis] = before;
      conv.window.pads[2 + axis] = std::max<std::int64_t>(0, extent - in[2 + axis] - before);
    }
    if (activates_inside(problem)) conv.activation = op.activation;
    graph::Graph graph;
    const graph::ValueId x = graph.add_value("x", DType::f32, in);
    graph.inputs = {x};
    std::vector<graph::ValueId> inputs{x, graph.add_constant("filters", std::move(filters))};
    if (problem.has_input(2)) inputs.push_back(graph.add_constant("bias", arranged_bias(problem)));
    graph.outputs = {graph.add_node(problem.node.name + "/equivalent", conv, inputs, tiles)};
    return graph;
  }

  graph::Graph graph_;
  SessionOptions options_;
  Environment env_;
  Problem problem_;
};

/// What choosing a kernel needs: the filters' values do not matter.
Tensor blank_filters(const Problem& problem) { return Tensor(DType::f32, filter_shape(problem)); }

std::optional<std::string> refuse(const Problem& problem) {
  const WinogradConv& op = op_of(problem);
  if (op.m != 2 || op.r != 3) return fmt::format("F({},{})", op.m, op.r);
  if (problem.constant(1) == nullptr || (problem.has_input(2) && problem.constant(2) == nullptr)) return "weights are not constant";
  if (extent_of(problem.inputs[0]) == 0 || extent_of(problem.outputs[0]) == 0) return "empty";
  if (extent_of(problem.outputs[0]) > INT32_MAX / 2) return "2^30 elements or more";
  const bool forced = problem.env.options.force_kernel == "cuda:equivalent";
  if (!forced && op.mask.axis == winograd::Axis::row && op.mask.pruning_ratio() > 1 - kFewestRows) return "most rows are pruned";
  if (find_candidates(Equivalent(problem, blank_filters(problem)).problem()).taking.empty()) return "no kernel takes the convolution that it equals";
  return std::nullopt;
}

/// The convolution of `equivalent`, whose kernel puts outputs in place itself.
Problem placed_by_kernel(const Problem& problem, const Equivalent& equivalent) {
  Problem placed = equivalent.problem();
  placed.tiles_to = &problem.outputs[0];
  return placed;
}

/// Microseconds in both ways; infinite where the kernel would leave something to do.
struct Times {
  double by_kernel = std::numeric_limits<double>::infinity(), by_step = 0;
};
Times times_of(const Problem& problem, const Equivalent& equivalent) {
  Times times;
  if (activates_inside(problem)) times.by_kernel = predict_best(placed_by_kernel(problem, equivalent));
  const double elements = static_cast<double>(extent_of(problem.outputs[0])) * (problem.has_input(3) ? 3 : 2);
  times.by_step = predict_best(equivalent.problem()) + predict_bytes(elements * static_cast<double>(problem.env.element_bytes()));
  return times;
}

double predict(const Problem& problem) {
  const Times times = times_of(problem, Equivalent(problem, blank_filters(problem)));
  return std::min(times.by_kernel, times.by_step);
}

/// The first in the order of predicted times that its library takes.
Implementation build_convolution(const Problem& problem) {
  std::string reasons;
  for (const Candidate& candidate : find_candidates(problem).taking) {
    try {
      return cuda::build(candidate, problem);
    } catch (const Unsupported& unsupported) {
      reasons += (reasons.empty() ? "" : "; ") + unsupported.reason;
    }
  }
  throw Unsupported{reasons};
}

Implementation build_placed_by_kernel(const Problem& problem, const Equivalent& equivalent) {
  Implementation result = build_convolution(placed_by_kernel(problem, equivalent));
  result.name = "cuda:equivalent_" + result.name.substr(result.name.find(':') + 1);
  result.reads = reads_of_convolution(problem);
  result.step = [convolve = result.step](const Arguments& arguments) {
    const void* const inner[] = {arguments.inputs[0], nullptr, nullptr};
    Arguments own = arguments;
    own.inputs = inner;
    convolve(own);
  };
  return result;
}

Implementation build(const Problem& problem) {
  constexpr std::size_t kAlignment = 256;
  const auto filters = problem.env.weights.get<Tensor>(problem.node.name + "/equivalent/filters", [&] { return arranged_filters(problem); });
  const Equivalent equivalent(problem, *filters);
  if (const Times times = times_of(problem, equivalent); times.by_kernel < times.by_step) return build_placed_by_kernel(problem, equivalent);
  const Implementation convolution = build_convolution(equivalent.problem());
  PixelShuffle shuffle;
  shuffle.output = problem.outputs[0];
  shuffle.part = part_of(problem);
  if (problem.has_input(3)) shuffle.residual_pitch = problem.inputs[3].pitch;
  if (!activates_inside(problem)) shuffle.activation = op_of(problem).activation;
  const auto bytes = static_cast<std::size_t>(extent_of(equivalent.problem().outputs[0]) * problem.env.element_bytes());
  const std::size_t scratch = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  Implementation result;
  result.name = "cuda:equivalent_" + convolution.name.substr(convolution.name.find(':') + 1) + "+shuffle";
  result.reads = reads_of_convolution(problem);
  result.workspace_bytes = scratch + convolution.workspace_bytes;
  result.weights = convolution.weights;
  result.asks_ahead = convolution.asks_ahead;
  const bool residual = problem.has_input(3);
  result.step = [convolve = convolution.step, put = pixel_shuffle_step(shuffle, problem.env.operand), scratch, residual](const Arguments& arguments) {
    void* const tiles = arguments.workspace;
    const void* const inner[] = {arguments.inputs[0], nullptr, nullptr};
    Arguments own = arguments;
    own.inputs = inner;
    own.outputs = &tiles;
    own.workspace = static_cast<std::byte*>(arguments.workspace) + scratch;
    convolve(own);
    const void* const outer[] = {tiles, residual ? arguments.inputs[3] : nullptr};
    put({outer, arguments.outputs, nullptr, arguments.stream});
  };
  return result;
}

}  // namespace

Kernel equivalent_kernel() { return {.name = "cuda:equivalent", .refuse = refuse, .predict = predict, .build = build}; }

}  // namespace wins::runtime::cuda
