// 1x1 convolutions that are pruned in columns, by the product of their kept columns, against the float64 reference.
#include "layer_check.hpp"
#include "packing/pruned_columns.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct ColumnLayer {
  std::int64_t n, c, k, h, w;
  std::int64_t stride = 1;
  std::int64_t block = 64, kept = 1;  ///< columns that every block of so many filters keeps
  bool bias = true, residual = false;
  Activation activation = {UnaryKind::relu, 0, 0};
};

/// Sums of variance 1.
Tensor weights_of(std::int64_t K, std::int64_t C, std::int64_t block, std::int64_t kept) {
  return pruned_columns(K, C, block, kept, 1 / std::sqrt(static_cast<float>(std::max<std::int64_t>(kept, 1))));
}

struct Build {
  Graph graph;
  std::vector<Tensor> tensors;
  std::string force = "cuda:columns";

  explicit Build(const ColumnLayer& l) : Build(l, weights_of(l.k, l.c, l.block, l.kept)) {}
  Build(const ColumnLayer& l, Tensor weights) {
    Conv op;
    op.window.kernel = {1, 1};
    op.window.stride = {l.stride, l.stride};
    op.activation = l.activation;
    const ValueId in = input({l.n, l.c, l.h, l.w});
    std::vector<ValueId> inputs{in, graph.add_constant("w", std::move(weights))};
    if (l.bias) inputs.push_back(graph.add_constant("b", random_normal({l.k}, 6, 0.3F)));
    if (l.residual && !l.bias) inputs.push_back(kNone);
    if (l.residual) inputs.push_back(input({l.n, l.k, (l.h - 1) / l.stride + 1, (l.w - 1) / l.stride + 1}));
    graph.outputs = {graph.add_node("op", op, inputs)};
  }

  /// Runs in fp32 and TF32, compares, and expects a kernel whose name begins so.
  void run(const std::string& kernel) const {
    const std::vector<Tensor> reference = ref::run(graph, tensors, ref::Precision::float64);
    for (const PrecisionCase& t : kPrecisions) {
      if (t.precision != Precision::fp32 && t.precision != Precision::tf32) continue;
      SCOPED_TRACE(to_string(tensors.at(0).shape()) + " to " + to_string(reference.at(0).shape()) + " " + t.name);
      SessionOptions options;
      options.backend = "cuda";
      options.precision = t.precision;
      options.force_kernel = force;
      Session session = Session::open(graph, options);
      const std::vector<Tensor> first = session.run(tensors), second = session.run(tensors);
      const Plan plan = session.plan(shapes_of(tensors));
      EXPECT_EQ(kernel_of(plan, "op").substr(0, kernel.size()), kernel) << plan.text();
      const layers::Errors errors = layers::errors_of(first.at(0), reference.at(0)), bound = layer_bound(t.precision);
      EXPECT_LE(errors.relative_l2, bound.relative_l2) << plan.text();
      EXPECT_LE(errors.max, bound.max) << plan.text();
      EXPECT_TRUE(std::equal(first[0].bytes(), first[0].bytes() + first[0].byte_size(), second[0].bytes())) << "runs differ";
    }
  }

 private:
  ValueId input(const wins::Shape& shape) {
    graph.inputs.push_back(graph.add_value("in", DType::f32, shape));
    tensors.push_back(random_normal(shape, 100 + tensors.size()));
    return graph.inputs.back();
  }
};

class CudaColumns : public Operators {};

TEST_F(CudaColumns, SizesStridesAndResiduals) {
  for (const ColumnLayer& layer : {ColumnLayer{1, 64, 64, 14, 14, 1, 64, 13}, ColumnLayer{3, 67, 70, 5, 7, 1, 64, 13}, ColumnLayer{1, 19, 130, 9, 11, 2, 64, 9},
                                   ColumnLayer{3, 33, 300, 13, 17, 2, 16, 7}, ColumnLayer{2, 256, 512, 15, 13, 2, 64, 51}, ColumnLayer{1, 8, 5, 1, 1, 1, 64, 1},
                                   ColumnLayer{3, 300, 257, 7, 7, 1, 64, 60}, ColumnLayer{1, 40, 72, 31, 3, 3, 64, 8}, ColumnLayer{2, 512, 64, 28, 28, 1, 64, 200}}) {
    for (const bool residual : {false, true}) {
      ColumnLayer with = layer;
      with.residual = residual;
      Build(with).run("cuda:columns");
    }
  }
}

TEST_F(CudaColumns, ManyBlocksAtOnce) {
  // Races between a multiprocessor's blocks need many of them.
  Build({8, 64, 256, 56, 56, 1, 64, 13, true, true}).run("cuda:columns");
  Build({16, 512, 128, 28, 28, 1, 64, 102}).run("cuda:columns");
  Build({16, 256, 512, 28, 28, 2, 64, 51}).run("cuda:columns");
}

TEST_F(CudaColumns, ActivationsAndNoBias) {
  const ColumnLayer layer{2, 67, 70, 9, 7, 1, 64, 13};
  for (const Activation& activation :
       {Activation{UnaryKind::identity, 0, 0}, Activation{UnaryKind::clip, -0.25F, 1.5F}, Activation{UnaryKind::leaky_relu, 0.1F, 0}, Activation{UnaryKind::silu, 0, 0}}) {
    for (const bool bias : {true, false}) {
      ColumnLayer with = layer;
      with.activation = activation;
      with.bias = bias;
      Build(with).run("cuda:columns");
    }
  }
}

TEST_F(CudaColumns, StripsOfNothingAndOfEverything) {
  const ColumnLayer layer{2, 75, 260, 9, 9};
  Tensor weights = weights_of(260, 75, 64, 0);
  Build(layer, weights).run("cuda:columns");
  auto values = weights.mutable_data<float>();
  for (std::size_t i = 64 * 75; i < 128 * 75; ++i) values[i] = static_cast<float>(i % 7) / 8 - 0.4F;
  Build(layer, weights).run("cuda:columns");
}

TEST_F(CudaColumns, InAndOutOfConcatenations) {
  Build b({2, 64, 64, 14, 14, 1, 64, 13});
  const ValueId other = b.graph.add_node("other", Conv{}, {b.graph.inputs[0], b.graph.add_constant("o", weights_of(36, 64, 64, 9))});
  const ValueId joined = b.graph.add_node("cat", Concat{1}, {other, b.graph.outputs[0]});
  b.graph.outputs = {b.graph.add_node("last", Conv{}, {joined, b.graph.add_constant("l", weights_of(24, 100, 64, 20))})};
  b.run("cuda:columns");
}

TEST_F(CudaColumns, RefusesDenseLayersAnd16Bits) {
  Build dense({2, 32, 64, 9, 9, 1, 64, 32});
  dense.run("cuda:");
  for (const auto& [kept, precision] : {std::pair{std::int64_t{32}, Precision::fp32}, std::pair{std::int64_t{8}, Precision::fp16}}) {
    const Build b({2, 32, 64, 9, 9, 1, 64, kept});
    SessionOptions options;
    options.backend = "cuda";
    options.precision = precision;
    options.force_kernel = b.force;
    EXPECT_NE(kernel_of(Session::open(b.graph, options).plan(shapes_of(b.tensors)), "op").substr(0, 12), "cuda:columns");
  }
}

TEST_F(CudaColumns, TheEngineChoosesItForManyPixels) {
  const Build b({16, 512, 128, 28, 28, 1, 64, 102});
  SessionOptions options;  // fp32: in TF32 it depends on the GPU's bandwidth
  options.backend = "cuda";
  const Plan plan = Session::open(b.graph, options).plan(shapes_of(b.tensors));
  EXPECT_TRUE(kernel_of(plan, "op").starts_with("cuda:columns")) << plan.text();
}

}  // namespace
}  // namespace wins::runtime::cuda_test
