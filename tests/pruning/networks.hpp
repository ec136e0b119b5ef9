// Small networks that the tests prune.
#pragma once

#include <string>
#include <vector>

#include "wins/graph/graph.hpp"

namespace wins::pruning::testing {

struct Layer {
  std::string name;
  std::int64_t outputs = 0;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  bool batch_norm = false;
};

/// Convolutions ("same" pads), each with an optional batch norm, and a ReLU, one after the other.
inline graph::Graph chain(std::int64_t channels, std::int64_t size, const std::vector<Layer>& layers) {
  graph::Graph graph;
  graph.name = "chain";
  graph::ValueId x = graph.add_value("x", DType::f32, Shape{-1, channels, size, size});
  graph.inputs = {x};
  std::uint64_t seed = 1;
  for (const Layer& layer : layers) {
    graph::Conv conv;
    conv.window.kernel = {layer.kernel, layer.kernel};
    conv.window.stride = {layer.stride, layer.stride};
    const std::int64_t pad = layer.kernel / 2;
    conv.window.pads = {pad, pad, pad, pad};
    const graph::ValueId w = graph.add_constant(
        layer.name + ".weight", random_normal({layer.outputs, channels, layer.kernel, layer.kernel}, seed++, 0.2F));
    x = graph.add_node(layer.name, conv, {x, w});
    if (layer.batch_norm) {
      std::vector<graph::ValueId> inputs{x};
      for (const char* part : {"scale", "shift", "mean", "variance"}) {
        Tensor t = random_normal({layer.outputs}, seed++, 0.3F);
        if (std::string(part) == "variance") {
          for (float& v : t.mutable_data<float>()) v = 0.5F + v * v;
        }
        inputs.push_back(graph.add_constant(layer.name + ".bn." + part, t));
      }
      x = graph.add_node(layer.name + ".bn", graph::BatchNorm{}, inputs);
    }
    x = graph.add_node(layer.name + ".relu", graph::Unary{{graph::UnaryKind::relu, 0, 0}}, {x});
    channels = layer.outputs;
  }
  graph.outputs = {x};
  return graph;
}

/// Three prunable layers (8 to 8 channels) between a stem and a strided one that are not.
inline graph::Graph five_layers(bool batch_norm = false) {
  return chain(3, 12, {{"stem", 8, 3, 1, batch_norm},
                       {"a", 8, 3, 1, batch_norm},
                       {"b", 10, 3, 1, batch_norm},
                       {"down", 12, 3, 2, batch_norm},
                       {"c", 8, 3, 1, batch_norm}});
}

inline const winograd::Mask& mask_of(const graph::Graph& graph, const std::string& name) {
  return graph.find_node(name)->as<graph::WinogradConv>()->mask;
}

}  // namespace wins::pruning::testing
