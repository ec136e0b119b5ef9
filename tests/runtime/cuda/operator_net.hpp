// One operator in a session on the GPU, in every precision, beside the float64 reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "wins/graph/graph.hpp"
#include "wins/runtime/ref/ref.hpp"
#include "wins/runtime/session.hpp"

namespace wins::runtime::cuda_test {

using namespace graph;

struct PrecisionCase {
  Precision precision;
  const char* name;
  double bound;  ///< of the relative L2 error
};

inline constexpr PrecisionCase kPrecisions[] = {{Precision::fp32, "fp32", 1e-5},
                                                {Precision::tf32, "tf32", 1e-3},
                                                {Precision::fp16, "fp16", 2e-3},
                                                {Precision::bf16, "bf16", 1.6e-2}};

/// Multiples of 1/8, which every precision holds.
inline Tensor exact_normal(const wins::Shape& shape, std::uint64_t seed) {
  Tensor tensor = random_normal(shape, seed);
  for (float& value : tensor.mutable_data<float>()) value = std::round(value * 8) / 8;
  return tensor;
}

/// At least 1/2.
inline Tensor exact_positive(const wins::Shape& shape, std::uint64_t seed) {
  Tensor tensor = exact_normal(shape, seed);
  for (float& value : tensor.mutable_data<float>()) value = std::abs(value) + 0.5F;
  return tensor;
}

/// Why there can be no session; empty when there can.
inline const std::string& unusable() {
  static const std::string reason = [] {
    Graph graph;
    graph.inputs = {graph.add_value("in", DType::f32, wins::Shape{1, 8})};
    graph.outputs = {graph.add_node("op", Unary{{UnaryKind::abs, 0, 0}}, {graph.inputs[0]})};
    SessionOptions options;
    options.backend = "cuda";
    try {
      Session::open(graph, options);
    } catch (const Error& error) {
      if (std::string(error.what()).find("cannot be used") != std::string::npos) return std::string(error.what());
      throw;
    }
    return std::string();
  }();
  return reason;
}

/// `kernel`: forced, where there is one.
inline Session open_on_gpu(const Graph& graph, Precision precision, const std::string& kernel = {}) {
  SessionOptions options;
  options.backend = "cuda";
  options.precision = precision;
  options.force_kernel = kernel;
  return Session::open(graph, options);
}

class Operators : public testing::Test {
 protected:
  void SetUp() override {
    if (!unusable().empty()) GTEST_SKIP() << unusable();
  }
};

/// The kernel of a node, without the copies from and to the host that bear the names of values.
inline std::string kernel_of(const Plan& plan, const std::string& node) {
  for (const LayerPlan& line : plan.layers) {
    if (line.node == node && line.kernel != "cuda:from_host" && line.kernel != "cuda:to_host") return line.kernel;
  }
  return "none";
}

/// Whether `name` is `pattern`, in which one star stands for any letters.
inline bool matches(const std::string& name, const std::string& pattern) {
  const std::size_t star = pattern.find('*');
  if (star == std::string::npos) return name == pattern;
  const std::string end = pattern.substr(star + 1);
  return name.size() + 1 >= pattern.size() && name.starts_with(pattern.substr(0, star)) && name.ends_with(end);
}

struct Net {
  Graph graph;
  ValueId x = kNone;
  std::vector<Tensor> tensors;  ///< of the inputs
  std::string force_kernel = {};
  std::optional<Pool> pool = {};  ///< behind the operator

  explicit Net(const wins::Shape& shape) { x = input(shape); }
  explicit Net(Tensor tensor) { x = input(std::move(tensor)); }

  ValueId input(Tensor tensor) {
    graph.inputs.push_back(graph.add_value("in", DType::f32, tensor.shape()));
    tensors.push_back(std::move(tensor));
    return graph.inputs.back();
  }
  ValueId input(const wins::Shape& shape) { return input(random_normal(shape, 100 + tensors.size())); }
  ValueId constant(const wins::Shape& shape, std::uint64_t seed = 21) { return graph.add_constant("c", random_normal(shape, seed)); }
  ValueId constant(Tensor tensor) { return graph.add_constant("c", std::move(tensor)); }
  ValueId integers(const std::vector<std::int64_t>& values) {
    return graph.add_constant("i", Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }

  /// In fp32.
  Plan plan() const {
    std::vector<wins::Shape> shapes;
    for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
    return open_on_gpu(graph, Precision::fp32, force_kernel).plan(shapes);
  }

  /// Runs the operator in every precision and checks results and kernel; its name may have a star for any letters.
  void check(Op op, std::vector<ValueId> inputs, const std::string& kernel, int outputs = 1) {
    graph.outputs = {graph.add_node("op", std::move(op), std::move(inputs))};
    for (int i = 1; i < outputs; ++i) {
      graph.outputs.push_back(graph.add_value("part", DType::f32));
      graph.nodes.back().outputs.push_back(graph.outputs.back());
    }
    if (pool) graph.outputs = {graph.add_node("pool", *pool, graph.outputs)};
    const std::vector<Tensor> reference = ref::run(graph, tensors, ref::Precision::float64);
    for (const PrecisionCase& precision : kPrecisions) check_precision(precision, reference, kernel);
  }

 private:
  void check_precision(const PrecisionCase& t, const std::vector<Tensor>& reference, const std::string& kernel) const {
    Session session = open_on_gpu(graph, t.precision, force_kernel);
    std::vector<wins::Shape> shapes;
    for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
    const Plan plan = session.plan(shapes);
    EXPECT_TRUE(matches(kernel_of(plan, "op"), kernel)) << kernel << " " << t.name << "\n" << plan.text();
    const std::vector<Tensor> first = session.run(tensors), second = session.run(tensors);
    ASSERT_EQ(first.size(), reference.size());
    for (std::size_t i = 0; i < reference.size(); ++i) {
      ASSERT_EQ(first[i].shape(), reference[i].shape());
      EXPECT_LE(relative_l2(first[i], reference[i]), t.bound) << t.name << ", output " << i << "\n" << plan.text();
      EXPECT_TRUE(std::equal(first[i].bytes(), first[i].bytes() + first[i].byte_size(), second[i].bytes())) << t.name << ": runs differ";
    }
  }
};

/// Batches, and channels that do and do not fill units.
inline constexpr std::int64_t kBatches[] = {1, 3};
inline constexpr std::int64_t kChannels[] = {16, 19, 3};
inline constexpr std::int64_t kHeight = 7, kWidth = 9;

/// Calls `body(n, c)` for every batch and number of channels.
template <class Body>
void for_each_image(const Body& body) {
  for (const std::int64_t n : kBatches) {
    for (const std::int64_t c : kChannels) {
      SCOPED_TRACE("batch " + std::to_string(n) + ", channels " + std::to_string(c));
      body(n, c);
    }
  }
}

}  // namespace wins::runtime::cuda_test
