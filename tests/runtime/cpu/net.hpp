// One operator behind a 1x1 convolution, whose output is blocked.
#pragma once

#include "harness.hpp"

namespace wins::runtime::cpu_test {

using namespace graph;

constexpr double kBound = 2e-6;

struct Net {
  Graph graph;
  ValueId x = kNone;
  SessionOptions options = two_threads();

  /// Input n x c x h x w through a 1x1 convolution to `k` channels.
  Net(wins::Shape shape, std::int64_t k) {
    const ValueId in = graph.add_value("in", DType::f32, shape);
    graph.inputs = {in};
    x = graph.add_node("first", Conv{},
                       {in, graph.add_constant("w", random_normal({k, shape[1], 1, 1}, 11, 0.3F))});
  }
  /// The operator reads the network's input, which is plain.
  explicit Net(const wins::Shape& shape) {
    x = graph.add_value("in", DType::f32, shape);
    graph.inputs = {x};
  }
  ValueId constant(const wins::Shape& shape, std::uint64_t seed = 21) {
    return graph.add_constant("c", random_normal(shape, seed));
  }
  ValueId integers(const std::vector<std::int64_t>& values) {
    return graph.add_constant("i",
                              Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }
  /// The bound is on the relative L2 norm; the largest error may be four times that.
  Result run(Op op, std::vector<ValueId> inputs, double bound = kBound) {
    graph.outputs = {graph.add_node("op", std::move(op), std::move(inputs))};
    return check(bound);
  }
  /// A node of several outputs, which are those of the network too.
  Result run_parts(Op op, std::vector<ValueId> inputs, int parts) {
    graph.outputs = {graph.add_node("op", std::move(op), std::move(inputs))};
    for (int i = 1; i < parts; ++i) {
      graph.outputs.push_back(graph.add_value("part", DType::f32));
      graph.nodes.back().outputs.push_back(graph.outputs.back());
    }
    return check(kBound);
  }

 private:
  static SessionOptions two_threads() {
    SessionOptions options;
    options.threads = 2;
    return options;
  }
  Result check(double bound) const {
    Result result = run_both(graph, options);
    EXPECT_LE(result.relative_l2, bound) << result.layer("op").kernel << " " << result.layer("op").problem;
    EXPECT_LE(result.max_error, 4 * bound) << result.layer("op").kernel << " " << result.layer("op").problem;
    return result;
  }
};

inline void expect_kernel(const Result& result, const std::string& name) {
  EXPECT_TRUE(result.layer("op").kernel.starts_with(name)) << result.layer("op").kernel;
}

}  // namespace wins::runtime::cpu_test
