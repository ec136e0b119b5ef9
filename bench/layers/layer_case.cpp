#include "layer_case.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "stem_pack.hpp"
#include "wins/base/error.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::layers {
namespace {

using graph::UnaryKind;
using runtime::ConvProblem;
using winograd::Axis;
using winograd::Mask;

/// The text of a problem has an activation's name alone; these are its usual parameters.
graph::Activation activation_of(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::clip:
      return {kind, 0, 6};
    case UnaryKind::leaky_relu:
      return {kind, 0.1F, 0};
    case UnaryKind::elu:
      return {kind, 1, 0};
    case UnaryKind::hard_sigmoid:
      return {kind, 1.0F / 6, 0.5F};
    default:
      return {kind, 0, 0};
  }
}

Mask draw_mask(const ConvProblem& p, int positions) {
  Mask mask = Mask::full(p.axis, positions, p.out_channels, p.in_channels);
  if (p.kept.empty()) return mask;
  std::mt19937 random(7);
  std::vector<std::size_t> order(static_cast<std::size_t>(mask.units()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::fill(mask.keep.begin(), mask.keep.end(), std::uint8_t{0});
  for (std::size_t xi = 0; xi < p.kept.size(); ++xi) {
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i = 0; i < static_cast<std::size_t>(p.kept[xi]); ++i) {
      mask.keep[xi * order.size() + order[i]] = 1;
    }
  }
  return mask;
}

void clear_pruned(const Mask& mask, Tensor& U) {
  auto values = U.mutable_data<float>();
  std::size_t i = 0;
  for (int xi = 0; xi < mask.positions; ++xi) {
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      for (std::int64_t c = 0; c < mask.columns; ++c, ++i) {
        if (!mask.weight_kept(xi, k, c)) values[i] = 0;
      }
    }
  }
}

Tensor draw_weights(const ConvProblem& p) {
  const std::int64_t channels = p.in_channels / p.groups;
  const auto deviation = 1 / std::sqrt(static_cast<float>(channels * p.kernel[0] * p.kernel[1]));
  return random_normal({p.out_channels, channels, p.kernel[0], p.kernel[1]}, 1, deviation);
}

/// The operator, with its weights appended to `inputs`.
graph::Op make_operator(const ConvProblem& p, graph::Graph& graph, std::vector<graph::ValueId>& inputs) {
  if (p.m == 0) {
    graph::Conv conv;
    conv.window.kernel = p.kernel;
    conv.window.stride = p.stride;
    conv.window.dilation = p.dilation;
    conv.window.pads = p.pads;
    conv.group = p.groups;
    conv.activation = activation_of(p.activation);
    inputs.push_back(graph.add_constant("weights", draw_weights(p)));
    return conv;
  }
  graph::WinogradConv conv;
  conv.m = p.m;
  conv.r = static_cast<int>(p.kernel[0]);
  conv.pads = p.pads;
  conv.stride = static_cast<int>(p.stride[0]);
  conv.activation = activation_of(p.activation);
  const winograd::Algorithm& algorithm = winograd::algorithm(conv.m, conv.r, conv.stride);
  conv.mask = draw_mask(p, algorithm.positions());
  Tensor U = winograd::transform_weights(algorithm, draw_weights(p));
  clear_pruned(conv.mask, U);
  inputs.push_back(graph.add_constant("weights", std::move(U)));
  return conv;
}

double stem_multiplications(const ConvProblem& p) {
  runtime::cpu::StemGeometry g;
  g.channels = p.in_channels;
  g.kernel = p.kernel;
  g.stride = static_cast<int>(p.stride[0]);
  const auto tiles = winograd::tile_grid(runtime::cpu::kStemTile, p.out_height, p.out_width).count();
  return static_cast<double>(p.batch * tiles * p.out_channels * runtime::cpu::stem_products(g));
}

}  // namespace

graph::Graph make_graph(const ConvProblem& p) {
  graph::Graph graph;
  std::vector<Shape> shapes;
  const auto add_input = [&](const char* name, const Shape& shape) {
    shapes.push_back(shape);
    graph.inputs.push_back(graph.add_value(name, DType::f32, shape));
    return graph.inputs.back();
  };
  std::vector<graph::ValueId> inputs{add_input("x", {p.batch, p.in_channels, p.in_height, p.in_width})};
  graph::Op op = make_operator(p, graph, inputs);
  // Small beside the products, so that errors of these are not hidden.
  inputs.push_back(p.bias ? graph.add_constant("bias", random_normal({p.out_channels}, 3, 0.1F)) : graph::kNone);
  inputs.push_back(p.residual ? add_input("residual", {p.batch, p.out_channels, p.out_height, p.out_width}) : graph::kNone);
  while (inputs.back() == graph::kNone) inputs.pop_back();
  graph.outputs = {graph.add_node("conv", std::move(op), std::move(inputs))};
  return graph::specialize(graph, shapes);
}

Layer make_layer(const ConvProblem& p) {
  Layer layer{make_graph(p), {}};
  layer.inputs.push_back(random_normal({p.batch, p.in_channels, p.in_height, p.in_width}, 2, 1));
  if (p.residual) layer.inputs.push_back(random_normal({p.batch, p.out_channels, p.out_height, p.out_width}, 4, 0.1F));
  return layer;
}

ConvProblem dense_problem(const ConvProblem& problem) {
  ConvProblem dense = problem;
  dense.m = 0;
  dense.axis = Axis::row;
  dense.kept.clear();
  return dense;
}

double multiplications(const Layer& layer, const std::string& kernel) {
  const graph::Node& node = layer.graph.nodes.at(0);
  const ConvProblem p = runtime::conv_problem(layer.graph, node);
  int m = 0;
  if (const std::size_t at = kernel.find("winograd_f"); at != std::string::npos) m = kernel[at + 10] - '0';
  if (kernel.find("stem_f4") != std::string::npos) return stem_multiplications(p);
  if (m == 0) return static_cast<double>(p.direct_macs());
  const double tiles = static_cast<double>(p.batch * winograd::tile_grid(m, p.out_height, p.out_width).count());
  const double matrix = static_cast<double>(p.out_channels * p.in_channels);
  const auto* pruned = node.as<graph::WinogradConv>();
  if (pruned == nullptr) return tiles * matrix * (m + 2) * (m + 2);
  const Mask& mask = pruned->mask;
  if (mask.axis == Axis::element && kernel.find("csr") == std::string::npos) {
    // Single weights inside full rows: every live position is multiplied whole.
    int live = 0;
    for (int xi = 0; xi < mask.positions; ++xi) live += mask.kept_in(xi) > 0;
    return tiles * matrix * live;
  }
  return tiles * static_cast<double>(mask.kept_total() * mask.unit_weights());
}

std::string problem_in_line(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string first;
  for (std::string word; words >> word;) {
    if (word.size() > 2 && word.starts_with("mb") && word[2] >= '0' && word[2] <= '9') return word;
    if (first.empty()) first = word;
  }
  require(first.empty(), "no convolution problem (mb1ic...) in '{}'", line);
  return {};
}

std::vector<ConvProblem> read_problems(const std::string& file) {
  std::ifstream stream(file);
  require(stream.is_open(), "{}: cannot be read", file);
  std::vector<ConvProblem> problems;
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    try {
      const std::string text = problem_in_line(line);
      if (!text.empty()) problems.push_back(runtime::parse_conv_problem(text));
    } catch (const Error& error) {
      fail("{}:{}: {}", file, number, error.what());
    }
  }
  return problems;
}

}  // namespace wins::layers
