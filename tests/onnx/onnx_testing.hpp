// Shared by the tests of the importer and exporter.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "proto.hpp"
#include "tensor_io.hpp"
#include "wins/base/error.hpp"
#include "wins/base/files.hpp"
#include "wins/graph/graph.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/onnx/onnx.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::onnx {

inline std::filesystem::path fixture_folder() { return std::filesystem::path(WINS_FIXTURES) / "onnx"; }

/// A folder of its own for each test, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(info->test_suite_name()) + "." + info->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    path_ = std::filesystem::path(::testing::TempDir()) / ("wins-onnx-" + name + "-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Message of the `Error` that `action` throws; "" when it throws none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// A graph input with these extents, or an initialiser.
inline pb::ValueInfoProto value_info(const std::string& name, const std::vector<std::int64_t>& extents,
                                     int type = pb::TensorProto::FLOAT) {
  pb::ValueInfoProto info;
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const auto extent : extents) tensor.mutable_shape()->add_dim()->set_dim_value(extent);
  return info;
}

inline pb::NodeProto& add_node(pb::ModelProto& model, const std::string& op, const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs, const std::string& name = "") {
  auto& node = *model.mutable_graph()->add_node();
  node.set_op_type(op);
  node.set_name(name);
  for (const auto& i : inputs) node.add_input(i);
  for (const auto& o : outputs) node.add_output(o);
  return node;
}

/// Input x 1x3x6x5, no nodes yet, output y.
inline pb::ModelProto empty_model(int opset) {
  pb::ModelProto model;
  model.set_ir_version(8);
  auto& import = *model.add_opset_import();
  import.set_version(opset);
  model.mutable_graph()->set_name("g");
  *model.mutable_graph()->add_input() = value_info("x", {1, 3, 6, 5});
  *model.mutable_graph()->add_output() = value_info("y", {});
  // Unknown extents: the tests do not state what the operator under test gives.
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->Clear();
  return model;
}

inline graph::Graph load_model(const pb::ModelProto& model) { return load_bytes(model.SerializeAsString(), "m.onnx"); }

/// conv3x3 -> relu with weights from a seed; input 1 x C x H x W (C, K small).
inline graph::Graph small_network(std::int64_t channels, std::int64_t filters, std::int64_t height, std::int64_t width,
                                  std::int64_t stride = 1) {
  graph::Graph graph;
  graph.name = "small";
  const auto x = graph.add_value("x", DType::f32, wins::Shape{-1, channels, height, width});
  graph.inputs = {x};
  const auto w = graph.add_constant("w", random_normal({filters, channels, 3, 3}, 1, 0.3F));
  const auto b = graph.add_constant("b", random_normal({filters}, 2));
  graph::Conv conv;
  conv.window.kernel = {3, 3};
  conv.window.pads = {1, 1, 1, 1};
  conv.window.stride = {stride, stride};
  const auto y = graph.add_node("conv", conv, {x, w, b});
  const auto z = graph.add_node("act", graph::Unary{{graph::UnaryKind::relu}}, {y});
  graph.outputs = {z};
  graph::infer_shapes(graph);
  return graph;
}

/// Turns node "conv" of `small_network` into F(m, 3), every third unit of `axis` pruned.
inline void prune_small(graph::Graph& graph, int m, winograd::Axis axis, bool keep_all = false) {
  for (graph::Node& node : graph.nodes) {
    if (node.name != "conv") continue;
    const auto stride = static_cast<int>(node.as<graph::Conv>()->window.stride[0]);
    const auto& algorithm = winograd::algorithm(m, 3, stride);
    Tensor U = winograd::transform_weights(algorithm, *graph.constant_input(node, 1));
    graph::WinogradConv conv;
    conv.m = m;
    conv.stride = stride;
    conv.pads = node.as<graph::Conv>()->window.pads;
    conv.activation = node.as<graph::Conv>()->activation;
    conv.mask = winograd::Mask::full(axis, algorithm.positions(), U.dim(1), U.dim(2));
    for (std::size_t i = 0; !keep_all && i < conv.mask.keep.size(); ++i) {
      conv.mask.keep[i] = i % 3 == 1 || i % 7 == 2 ? 0 : 1;
    }
    auto values = U.mutable_data<float>();
    std::size_t next = 0;
    for (int xi = 0; xi < conv.mask.positions; ++xi) {
      for (std::int64_t k = 0; k < conv.mask.rows; ++k) {
        for (std::int64_t c = 0; c < conv.mask.columns; ++c, ++next) {
          if (!conv.mask.weight_kept(xi, k, c)) values[next] = 0;
        }
      }
    }
    node.inputs[1] = graph.add_constant("conv/U", U);
    node.op = conv;
  }
  graph::remove_unused(graph);
  graph::infer_shapes(graph);
}

}  // namespace wins::onnx
