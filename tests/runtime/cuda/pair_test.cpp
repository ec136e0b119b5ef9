// Two 1x1 convolutions in one step, against the float64 reference.
#include "layer_check.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct PairOfLayers {
  std::int64_t n, c, middle, k, h, w;
  std::int64_t stride = 1;  ///< of the first
  bool residual = true, bias = true;
  Activation first = {UnaryKind::relu, 0, 0}, second = {UnaryKind::relu, 0, 0};
};

struct Build {
  Graph graph;
  std::vector<Tensor> tensors;
  std::string force = "cuda:pair";

  /// Outputs: the middle and the end.
  explicit Build(const PairOfLayers& l) {
    const std::int64_t h = (l.h - 1) / l.stride + 1, w = (l.w - 1) / l.stride + 1;
    std::vector<ValueId> inputs{input({l.n, l.c, l.h, l.w})};
    add_weights(inputs, l.middle, l.c, l.bias);
    if (l.residual) inputs.push_back(input({l.n, l.middle, h, w}));
    if (inputs.back() == kNone) inputs.pop_back();
    const ValueId middle = graph.add_node("first", conv(l.stride, l.first), inputs);
    std::vector<ValueId> behind{middle};
    add_weights(behind, l.k, l.middle, l.bias);
    if (!l.bias) behind.pop_back();
    graph.outputs = {middle, graph.add_node("second", conv(1, l.second), behind)};
  }

  Plan run(Precision precision, const layers::Errors& bound) const {
    const std::vector<Tensor> reference = ref::run(graph, tensors, ref::Precision::float64);
    SessionOptions options;
    options.backend = "cuda";
    options.precision = precision;
    options.force_kernel = force;
    Session session = Session::open(graph, options);
    const std::vector<Tensor> first = session.run(tensors), again = session.run(tensors);
    Plan plan = session.plan(shapes_of(tensors));
    for (std::size_t i = 0; i < reference.size(); ++i) {
      const layers::Errors errors = layers::errors_of(first.at(i), reference.at(i));
      EXPECT_LE(errors.relative_l2, bound.relative_l2) << "output " << i << "\n" << plan.text();
      EXPECT_LE(errors.max, bound.max) << "output " << i << "\n" << plan.text();
      EXPECT_TRUE(std::equal(first[i].bytes(), first[i].bytes() + first[i].byte_size(), again[i].bytes())) << "runs differ";
    }
    return plan;
  }

  /// In both 16-bit precisions, in one step.
  void run_as_pair() const {
    for (const Precision precision : {Precision::fp16, Precision::bf16}) {
      SCOPED_TRACE(to_string(tensors.at(0).shape()) + (precision == Precision::fp16 ? " fp16" : " bf16"));
      // The second rounds what the first has rounded.
      const layers::Errors bound = layer_bound(precision);
      expect_pair(run(precision, {2 * bound.relative_l2, 2 * bound.max}));
    }
  }
  static void expect_pair(const Plan& plan) {
    expect_kernel(plan, "first", "cuda:pair");
    EXPECT_TRUE(std::ranges::none_of(plan.layers, [](const LayerPlan& line) { return line.node == "second"; })) << plan.text();
  }
  static void expect_apart(const Plan& plan) {
    EXPECT_NE(kernel_of(plan, "first").substr(0, 9), "cuda:pair") << plan.text();
    EXPECT_TRUE(std::ranges::any_of(plan.layers, [](const LayerPlan& line) { return line.node == "second"; })) << plan.text();
  }

 private:
  static Conv conv(std::int64_t stride, const Activation& activation) {
    Conv op;
    op.window.kernel = {1, 1};
    op.window.stride = {stride, stride};
    op.activation = activation;
    return op;
  }
  /// Sums of variance 1; without a bias its place stays empty.
  void add_weights(std::vector<ValueId>& inputs, std::int64_t filters, std::int64_t channels, bool bias) {
    const std::string name = "w" + std::to_string(inputs.size()) + std::to_string(filters) + std::to_string(channels);
    inputs.push_back(graph.add_constant(name, random_normal({filters, channels, 1, 1}, 5, 1 / std::sqrt(static_cast<float>(channels)))));
    inputs.push_back(bias ? graph.add_constant(name + "b", random_normal({filters}, 6, 0.3F)) : kNone);
  }
  ValueId input(const wins::Shape& shape) {
    graph.inputs.push_back(graph.add_value("in", DType::f32, shape));
    tensors.push_back(random_normal(shape, 100 + tensors.size()));
    return graph.inputs.back();
  }
};

class CudaPair : public Operators {};

TEST_F(CudaPair, SizesStridesAndResiduals) {
  for (const PairOfLayers& layers :
       {PairOfLayers{2, 64, 256, 64, 14, 14}, PairOfLayers{1, 128, 512, 128, 9, 7}, PairOfLayers{3, 64, 64, 128, 5, 13}, PairOfLayers{1, 24, 128, 20, 3, 3},
        PairOfLayers{2, 100, 192, 72, 11, 9}, PairOfLayers{1, 256, 320, 128, 12, 12}, PairOfLayers{5, 8, 64, 8, 1, 1}, PairOfLayers{1, 61, 64, 67, 13, 17},
        PairOfLayers{2, 64, 256, 64, 15, 14, 2}, PairOfLayers{1, 130, 256, 128, 9, 10, 3}, PairOfLayers{2, 64, 2048, 96, 8, 8}}) {
    for (const bool residual : {true, false}) {
      PairOfLayers with = layers;
      with.residual = residual;
      Build(with).run_as_pair();
    }
  }
}

TEST_F(CudaPair, ManyBlocks) { Build({8, 64, 256, 64, 56, 56}).run_as_pair(); }

TEST_F(CudaPair, ActivationsAndNoBias) {
  const Activation activations[] = {{UnaryKind::identity, 0, 0}, {UnaryKind::relu, 0, 0}, {UnaryKind::clip, 0, 1}, {UnaryKind::leaky_relu, 0.1F, 0}};
  for (const Activation& first : activations) {
    for (const Activation& second : activations) Build({1, 64, 128, 64, 9, 9, 1, true, true, first, second}).run_as_pair();
  }
  Build({1, 64, 128, 64, 9, 9, 1, true, false}).run_as_pair();
  Build({1, 64, 128, 64, 9, 9, 1, false, false}).run_as_pair();
}

TEST_F(CudaPair, TheMiddleIsReadByOthersToo) {
  Build build({1, 64, 256, 64, 9, 9});
  const ValueId middle = build.graph.outputs[0], end = build.graph.outputs[1];
  build.graph.outputs = {end, build.graph.add_node("other", Unary{{UnaryKind::sigmoid, 0, 0}}, {middle})};
  build.run_as_pair();
}

TEST_F(CudaPair, IntoConcatenations) {
  Build build({2, 64, 256, 64, 7, 9});
  const ValueId middle = build.graph.outputs[0], end = build.graph.outputs[1];
  build.graph.outputs = {build.graph.add_node("concat", Concat{1}, {end, middle})};
  build.run_as_pair();
}

TEST_F(CudaPair, StaysApartElsewhere) {
  const layers::Errors wide = {3e-2, 6e-2};
  for (const Precision precision : {Precision::fp32, Precision::tf32}) Build::expect_apart(Build({1, 64, 256, 64, 9, 9}).run(precision, wide));
  for (const PairOfLayers& layers : {PairOfLayers{1, 64, 100, 64, 9, 9}, PairOfLayers{1, 64, 64, 136, 9, 9}, PairOfLayers{1, 264, 64, 64, 9, 9},
                                     PairOfLayers{1, 64, 64, 64, 9, 9, 1, true, true, {UnaryKind::silu, 0, 0}}}) {
    Build::expect_apart(Build(layers).run(Precision::fp16, wide));
  }
  Build implicit({1, 64, 256, 64, 9, 9});
  implicit.force = "cuda:implicit";
  Build::expect_apart(implicit.run(Precision::fp16, wide));
}

}  // namespace
}  // namespace wins::runtime::cuda_test
