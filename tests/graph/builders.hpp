// Short ways to write small graphs and to run them in float64.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/graph/graph.hpp"
#include "wins/graph/shapes.hpp"
#include "wins/runtime/ref/ref.hpp"

namespace wins::graph {

/// One input of a single-node graph: a shape, or a constant, or nothing (an absent input).
struct Arg {
  std::optional<wins::Shape> shape;
  std::optional<Tensor> constant;
  DType dtype = DType::f32;
  bool present = true;
  bool ranked = true;
};

inline Arg of_shape(wins::Shape shape, DType dtype = DType::f32) {
  return {std::move(shape), {}, dtype};
}
inline Arg absent() {
  return {{}, {}, DType::f32, false};
}
inline Arg unranked() {
  return {{}, {}, DType::f32, true, false};
}
inline Arg constant(Tensor tensor) {
  Arg arg;
  arg.dtype = tensor.dtype();
  arg.constant = std::move(tensor);
  return arg;
}
inline Tensor vec(const Ints& values) {
  return Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}
inline Arg ints(const Ints& values) {
  return constant(vec(values));
}
inline Arg floats(const std::vector<float>& values) {
  return constant(Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values));
}

/// Graph with the one node "node"; its non-constant inputs are the graph's.
inline Graph single_node(Op op, const std::vector<Arg>& args, std::size_t outputs = 1) {
  Graph graph;
  Node node{"node", std::move(op), {}, {}};
  for (std::size_t i = 0; i < args.size(); ++i) {
    const Arg& arg = args[i];
    const std::string name = "in" + std::to_string(i);
    if (!arg.present) {
      node.inputs.push_back(kNone);
    } else if (arg.constant) {
      node.inputs.push_back(graph.add_constant(name, *arg.constant));
    } else {
      node.inputs.push_back(graph.add_value(name, arg.dtype, arg.ranked ? arg.shape : std::nullopt));
      graph.inputs.push_back(node.inputs.back());
    }
  }
  for (std::size_t i = 0; i < outputs; ++i) {
    node.outputs.push_back(graph.add_value("out" + std::to_string(i), DType::f32));
    graph.outputs.push_back(node.outputs.back());
  }
  graph.nodes.push_back(std::move(node));
  return graph;
}

/// Inferred shape of output 0, as text; "unknown" without a rank.
inline std::string inferred(Op op, const std::vector<Arg>& args, std::size_t outputs = 1) {
  Graph graph = single_node(std::move(op), args, outputs);
  infer_shapes(graph);
  std::string text;
  for (const ValueId id : graph.outputs) {
    const auto& shape = graph.value(id).shape;
    text += (text.empty() ? "" : " ") + (shape ? to_string(*shape) : "unknown");
  }
  return text;
}

/// Message of the error that `f` throws; empty when it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline std::string infer_error(Op op, const std::vector<Arg>& args, std::size_t outputs = 1) {
  return error_of([&] { inferred(op, args, outputs); });
}

inline Window window(std::int64_t kernel, std::int64_t stride = 1, std::int64_t pad = 0,
                     std::int64_t dilation = 1) {
  Window w;
  w.kernel = {kernel, kernel};
  w.stride = {stride, stride};
  w.dilation = {dilation, dilation};
  w.pads = {pad, pad, pad, pad};
  return w;
}

/// Random inputs for these shapes, run in float64.
inline std::vector<Tensor> run_random(const Graph& graph, const std::vector<wins::Shape>& shapes) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) inputs.push_back(random_normal(shapes[i], 100 + i));
  return runtime::ref::run(graph, inputs, runtime::ref::Precision::float64);
}

/// Both graphs give the same outputs on random inputs, to `bound` relative L2.
inline void expect_same(const Graph& actual, const Graph& expected, const std::vector<wins::Shape>& shapes,
                        double bound = 1e-6) {
  validate(actual);
  const auto a = run_random(actual, shapes), b = run_random(expected, shapes);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].shape(), b[i].shape());
    EXPECT_LT(relative_l2(a[i], b[i]), bound);
    EXPECT_GT(relative_l2(b[i], Tensor(b[i].dtype(), b[i].shape())), 0) << "the outputs are all zero";
  }
}

/// Operators in order, e.g. "Conv Relu Conv Add".
inline std::string ops_of(const Graph& graph) {
  std::string text;
  for (const Node& node : graph.nodes) text += (text.empty() ? "" : " ") + op_name(node.op);
  return text;
}

}  // namespace wins::graph
