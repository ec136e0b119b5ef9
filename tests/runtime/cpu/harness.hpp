// Small graphs through the CPU backend beside the float64 reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "wins/graph/shapes.hpp"
#include "wins/runtime/backend.hpp"
#include "wins/runtime/ref/ref.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cpu_test {

struct Result {
  double relative_l2 = 0;  ///< of the worst output
  double max_error = 0;    ///< relative to the largest reference value
  Plan plan;
  std::vector<Tensor> outputs;

  const LayerPlan& layer(const std::string& node) const {
    for (const LayerPlan& line : plan.layers) {
      if (line.node == node && !line.kernel.starts_with("cpu:reorder")) return line;
    }
    throw std::runtime_error("no layer " + node);
  }
};

inline double max_error(const Tensor& a, const Tensor& reference) {
  const Tensor x = a.cast(DType::f64);
  double worst = 0, largest = 1e-30;
  for (std::size_t i = 0; i < x.data<double>().size(); ++i) {
    worst = std::max(worst, std::abs(x.data<double>()[i] - reference.data<double>()[i]));
    largest = std::max(largest, std::abs(reference.data<double>()[i]));
    if (std::isnan(x.data<double>()[i])) return INFINITY;
  }
  return worst / largest;
}

/// `graph` has concrete input shapes; inputs are normal random numbers unless given.
inline Result run_both(const graph::Graph& graph, const SessionOptions& options,
                       std::vector<Tensor> inputs = {}) {
  if (inputs.empty()) {
    for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
      inputs.push_back(random_normal(graph.value(graph.inputs[i]).shape.value(), 100 + i));
    }
  }
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  const graph::Graph specialised = graph::specialize(graph, shapes);
  const auto backend = make_cpu_backend();
  const auto executable = backend->compile(specialised, options, backend->make_cache());
  Result result;
  result.outputs = executable->run(inputs);
  result.plan = executable->plan();
  const auto reference = ref::run(specialised, inputs, ref::Precision::float64);
  for (std::size_t i = 0; i < reference.size(); ++i) {
    EXPECT_EQ(result.outputs[i].shape(), reference[i].shape());
    if (reference[i].dtype() != DType::f64) continue;
    result.relative_l2 = std::max(result.relative_l2, relative_l2(result.outputs[i], reference[i]));
    result.max_error = std::max(result.max_error, max_error(result.outputs[i], reference[i]));
  }
  // A second run gives the same bits.
  const auto again = executable->run(inputs);
  for (std::size_t i = 0; i < again.size(); ++i) {
    EXPECT_TRUE(
        std::equal(again[i].bytes(), again[i].bytes() + again[i].byte_size(), result.outputs[i].bytes()));
  }
  return result;
}

/// One layer for the shape list.
struct LayerCase {
  std::int64_t n, c, h, w, k;
  std::array<std::int64_t, 4> pads{1, 1, 1, 1};
};

/// Shapes of known networks, shrunk, and odd ones.
inline std::vector<LayerCase> layer_cases() {
  return {
      {1, 64, 14, 14, 64},  // ResNet, first stage
      {1, 128, 7, 7, 128},  // last stages: few tiles
      {2, 32, 16, 16, 48},  // SqueezeNet's expand
      {1, 128, 9, 9, 32},   // DenseNet's growth
      {3, 16, 12, 10, 16},  // batch
      {1, 3, 32, 32, 64},   // VGG's first layer
      {1, 17, 11, 13, 5},   // nothing divides anything
      {2, 1, 5, 7, 33},     //
      {1, 40, 3, 3, 24},    // smaller than a tile
      {1, 8, 1, 1, 8},      // one pixel
      {1, 24, 1, 37, 19},   // one row
      {1, 9, 23, 2, 130},   // a thin image, many chunks
      {1, 12, 10, 10, 20, {0, 0, 0, 0}},
      {1, 12, 10, 11, 20, {2, 0, 1, 2}},
      {2, 20, 8, 9, 12, {0, 1, 2, 3}},
  };
}

enum class Keep { all, none, one_row, one_position, uneven, sixth };

inline std::uint8_t keep_flag(Keep keep, int xi, int positions, std::int64_t unit, std::mt19937& random) {
  switch (keep) {
    case Keep::all:
      return 1;
    case Keep::none:
      return 0;
    case Keep::one_row:
      return xi == positions / 2 && unit == 0;
    case Keep::one_position:
      return xi == 5;
    case Keep::uneven:
      return random() % 16 < static_cast<unsigned>(xi % 17);
    default:
      return random() % 6 == 0;
  }
}

inline winograd::Mask make_mask(winograd::Axis axis, Keep keep, int m, std::int64_t k, std::int64_t c, int stride = 1) {
  const int positions = winograd::algorithm(m, 3, stride).positions();
  winograd::Mask mask = winograd::Mask::full(axis, positions, k, c);
  std::mt19937 random(5);
  for (int xi = 0; xi < positions; ++xi) {
    for (std::int64_t unit = 0; unit < mask.units(); ++unit) {
      mask.keep[static_cast<std::size_t>(xi * mask.units() + unit)] =
          keep_flag(keep, xi, positions, unit, random);
    }
  }
  return mask;
}

/// U of random 3x3 kernels, zero where the mask prunes.
inline Tensor make_weights(const winograd::Mask& mask, int m, int stride = 1) {
  const Tensor g = random_normal({mask.rows, mask.columns, 3, 3}, 9, 0.1F);
  Tensor U = winograd::transform_weights(winograd::algorithm(m, 3, stride), g);
  auto values = U.mutable_data<float>();
  std::size_t i = 0;
  for (int xi = 0; xi < mask.positions; ++xi) {
    for (std::int64_t k = 0; k < mask.rows; ++k) {
      for (std::int64_t c = 0; c < mask.columns; ++c, ++i) {
        if (!mask.weight_kept(xi, k, c)) values[i] = 0;
      }
    }
  }
  return U;
}

struct Extras {
  bool bias = true, residual = false;
  graph::Activation activation;
  int stride = 1;
};

inline graph::Graph winograd_graph(const LayerCase& layer, int m, const winograd::Mask& mask,
                                   const Extras& extras = {}) {
  graph::Graph graph;
  const auto x = graph.add_value("x", DType::f32, Shape{layer.n, layer.c, layer.h, layer.w});
  graph.inputs = {x};
  std::vector<graph::ValueId> inputs{x, graph.add_constant("U", make_weights(mask, m, extras.stride)), graph::kNone,
                                     graph::kNone};
  if (extras.bias) inputs[2] = graph.add_constant("bias", random_normal({layer.k}, 3));
  if (extras.residual) {
    const winograd::Algorithm& F = winograd::algorithm(m, 3, extras.stride);
    const std::int64_t h = F.outputs(layer.h + layer.pads[0] + layer.pads[2]),
                       w = F.outputs(layer.w + layer.pads[1] + layer.pads[3]);
    inputs[3] = graph.add_value("residual", DType::f32, Shape{layer.n, layer.k, h, w});
    graph.inputs.push_back(inputs[3]);
  }
  while (inputs.back() == graph::kNone) inputs.pop_back();
  graph.outputs = {
      graph.add_node("conv", graph::WinogradConv{m, 3, layer.pads, mask, extras.activation, extras.stride}, inputs)};
  return graph;
}

}  // namespace wins::runtime::cpu_test
