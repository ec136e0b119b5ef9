// Small networks around concatenations along channels.
#pragma once

#include "net.hpp"

namespace wins::runtime::cpu_test {

/// Layers on one input of 16 channels (a block on every machine).
struct Build {
  Graph graph;
  ValueId in;
  SessionOptions options;
  double bound = kBound;  ///< on the relative L2 norm; the largest error may be four times that

  explicit Build(std::int64_t batch, std::int64_t height = 7, std::int64_t width = 5) {
    in = graph.add_value("in", DType::f32, wins::Shape{batch, 16, height, width});
    graph.inputs = {in};
    options.threads = 2;
  }
  ValueId conv(const std::string& name, ValueId x, std::int64_t from, std::int64_t to, std::int64_t stride = 1) {
    Conv op;
    op.window.stride = {stride, stride};
    return graph.add_node(name, op, {x, graph.add_constant(name + ".w", random_normal({to, from, 1, 1}, name.size() + 7, 0.3F))});
  }
  /// size x size, with the same extents before and behind; `residual` may be kNone.
  ValueId window(const std::string& name, ValueId x, std::array<std::int64_t, 3> from_to_size, ValueId residual = kNone,
                 Activation activation = {}) {
    const auto [from, to, size] = from_to_size;
    Conv op;
    op.window.kernel = {size, size};
    op.window.pads = {size / 2, size / 2, size / 2, size / 2};
    op.activation = activation;
    std::vector<ValueId> inputs{x, graph.add_constant(name + ".w", random_normal({to, from, size, size}, name.size() + 5, 0.1F)),
                                graph.add_constant(name + ".b", random_normal({to}, name.size() + 6))};
    if (residual != kNone) inputs.push_back(residual);
    return graph.add_node(name, op, inputs);
  }
  ValueId pool(const std::string& name, ValueId x, Pool::Kind kind) {
    Pool op;
    op.kind = kind;
    op.window.kernel = {3, 3};
    op.window.pads = {1, 1, 1, 1};
    return graph.add_node(name, op, {x});
  }
  ValueId concat(const std::string& name, std::vector<ValueId> parts) {
    return graph.add_node(name, Concat{1}, std::move(parts));
  }
  ValueId relu(const std::string& name, ValueId x) {
    return graph.add_node(name, Unary{{UnaryKind::relu, 0, 0}}, {x});
  }
  ValueId norm(const std::string& name, ValueId x, std::int64_t channels) {
    Tensor variance = random_normal({channels}, 14);
    for (float& v : variance.mutable_data<float>()) v = 0.5F + v * v;
    return graph.add_node(name, BatchNorm{},
                          {x, graph.add_constant(name + ".s", random_normal({channels}, 11)),
                           graph.add_constant(name + ".b", random_normal({channels}, 12)),
                           graph.add_constant(name + ".m", random_normal({channels}, 13)), graph.add_constant(name + ".v", variance)});
  }
  Result run(std::vector<ValueId> outputs) {
    graph.outputs = std::move(outputs);
    Result result = run_both(graph, options);
    EXPECT_LE(result.relative_l2, bound);
    EXPECT_LE(result.max_error, 4 * bound);
    return result;
  }
};

inline int count_kernels(const Result& result, const std::string& beginning) {
  return static_cast<int>(std::count_if(result.plan.layers.begin(), result.plan.layers.end(),
                                        [&](const LayerPlan& layer) { return layer.kernel.starts_with(beginning); }));
}

/// Steps that copy what is concatenated.
inline int count_copies(const Result& result) {
  return count_kernels(result, "cpu:concat") + count_kernels(result, "cpu:copy");
}

}  // namespace wins::runtime::cpu_test
