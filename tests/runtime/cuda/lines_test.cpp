// Convolutions by the line product, 1x1 ones also with a batch norm before them, against the float64 reference.
#include <cuda_runtime_api.h>

#include "layer_check.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct LineLayer {
  std::int64_t n, c, k, h, w;
  std::int64_t stride = 1;
  std::int64_t summand = 0;  ///< input channels of the convolution that it adds; 0: none
  bool bias = true, residual = false, norm = false, relu_before = false;
  Activation activation = {UnaryKind::relu, 0, 0};
  std::array<std::int64_t, 2> kernel = {1, 1};
  std::int64_t pad = 0, dilation = 1;
};

struct Build {
  Graph graph;
  std::vector<Tensor> tensors;
  std::int64_t filters;

  explicit Build(const LineLayer& l) : filters(l.k) {
    ValueId from = input({l.n, l.c, l.h, l.w});
    if (l.norm) {
      const auto constant = [&](const char* name, std::uint64_t seed) { return graph.add_constant(name, random_normal({l.c}, seed)); };
      from = graph.add_node("norm", BatchNorm{}, {from, constant("scale", 1), constant("shift", 2), constant("mean", 3), graph.add_constant("variance", exact_positive({l.c}, 8))});
    }
    if (l.relu_before) from = graph.add_node("relu", Unary{{UnaryKind::relu, 0, 0}}, {from});
    Conv op;
    op.window.kernel = l.kernel;
    op.window.stride = {l.stride, l.stride};
    op.window.pads = {l.pad, l.pad, l.pad, l.pad};
    op.window.dilation = {l.dilation, l.dilation};
    op.activation = l.activation;
    std::vector<ValueId> inputs{from, graph.add_constant("w", random_normal({l.k, l.c, l.kernel[0], l.kernel[1]}, 5, 1 / std::sqrt(static_cast<float>(l.c * l.kernel[0] * l.kernel[1]))))};
    if (l.bias) inputs.push_back(graph.add_constant("b", random_normal({l.k}, 6, 0.3F)));
    if (l.residual && !l.bias) inputs.push_back(kNone);
    const auto windows = [&](std::int64_t extent, std::int64_t kernel) { return (extent + 2 * l.pad - (kernel - 1) * l.dilation - 1) / l.stride + 1; };
    const std::int64_t height = windows(l.h, l.kernel[0]), width = windows(l.w, l.kernel[1]);
    if (l.residual) inputs.push_back(input({l.n, l.k, height, width}));
    if (l.summand > 0) inputs.resize(4, kNone);
    if (l.summand > 0) inputs[3] = summand(l, input({l.n, l.summand, height, width}));
    graph.outputs = {graph.add_node("op", op, inputs)};
  }

  Plan run(const PrecisionCase& t, const Tensor& reference, const std::string& variant = "") const {
    SessionOptions options;
    options.backend = "cuda";
    options.precision = t.precision;
    options.force_kernel = variant.empty() ? "cuda:lines" : "cuda:lines/" + variant;
    Session session = Session::open(graph, options);
    const std::vector<Tensor> first = session.run(tensors), again = session.run(tensors);
    Plan plan = session.plan(shapes_of(tensors));
    const layers::Errors errors = layers::errors_of(first.at(0), reference), bound = layer_bound(t.precision);
    EXPECT_LE(errors.relative_l2, bound.relative_l2) << plan.text();
    EXPECT_LE(errors.max, bound.max) << plan.text();
    EXPECT_TRUE(std::equal(first[0].bytes(), first[0].bytes() + first[0].byte_size(), again[0].bytes())) << "runs differ";
    return plan;
  }

  /// In all precisions but fp32, which has none.
  void run_all(const std::string& end = "") const {
    const Tensor reference = ref::run(graph, tensors, ref::Precision::float64).at(0);
    for (const PrecisionCase& t : kPrecisions) {
      SCOPED_TRACE(to_string(tensors.at(0).shape()) + " " + t.name);
      const Plan plan = run(t, reference);
      const std::string kernel = kernel_of(plan, "op");
      if (t.precision == Precision::fp32) EXPECT_FALSE(kernel.starts_with("cuda:lines")) << plan.text();
      else EXPECT_TRUE(kernel.starts_with("cuda:lines_128x") && kernel.ends_with(end)) << plan.text();
      if (t.precision == Precision::fp32) continue;
      for (const std::string variant : {"128x64", "128x128", "stream128x64", "stream128x128"}) {
        if (variant.ends_with("128x128") && filters <= 64) continue;
        if (variant.starts_with("stream") && !takes_streams(t.precision)) continue;
        EXPECT_EQ(kernel_of(run(t, reference, variant), "op"), "cuda:lines_" + variant + end);
      }
    }
  }

  /// Whole units of filters, no batch norm, one tap, and filters that fit.
  bool takes_streams(Precision precision) const {
    const Node& node = graph.nodes.back();
    const std::int64_t unit = precision == Precision::tf32 ? 4 : 8, chunk = 8 * unit;
    std::int64_t chunks = 0;
    for (const Node& one : graph.nodes) {
      if (one.as<BatchNorm>()) return false;
      if (one.as<Conv>()) chunks += (graph.constant_input(one, 1)->dim(1) + chunk - 1) / chunk;
    }
    const auto& window = node.as<Conv>()->window;
    return filters % unit == 0 && window.kernel[0] * window.kernel[1] == 1 && chunks <= (precision == Precision::tf32 ? 3 : 4);
  }

 private:
  ValueId summand(const LineLayer& l, ValueId from) {
    Conv op;
    op.window.kernel = {1, 1};
    std::vector<ValueId> inputs{from, graph.add_constant("w2", random_normal({l.k, l.summand, 1, 1}, 8, 1 / std::sqrt(static_cast<float>(l.summand))))};
    if (l.bias) inputs.push_back(graph.add_constant("b2", random_normal({l.k}, 9, 0.3F)));
    return graph.add_node("summand", op, inputs);
  }
  ValueId input(const wins::Shape& shape) {
    graph.inputs.push_back(graph.add_value("in", DType::f32, shape));
    tensors.push_back(random_normal(shape, 100 + tensors.size()));
    return graph.inputs.back();
  }
};

class CudaLines : public Operators {
 protected:
  void SetUp() override {
    Operators::SetUp();
    if (IsSkipped()) return;
    cudaDeviceProp properties{};
    int current = 0;
    if (cudaGetDevice(&current) != cudaSuccess || cudaGetDeviceProperties(&properties, current) != cudaSuccess || properties.major != 9) GTEST_SKIP() << "no copy engine that this asks";
  }
};

constexpr LineLayer kLayers[] = {{2, 64, 64, 14, 14}, {1, 64, 256, 28, 28}, {3, 24, 20, 5, 7}, {1, 200, 130, 9, 11}, {2, 512, 128, 13, 13}, {1, 8, 5, 1, 1}, {3, 61, 67, 7, 9},
                                 {1, 1000, 33, 6, 6}, {2, 64, 128, 15, 14, 2}, {1, 130, 72, 9, 10, 3}, {5, 256, 512, 7, 7, 2}};

TEST_F(CudaLines, SizesStridesAndResiduals) {
  for (LineLayer layer : kLayers) {
    for (const bool residual : {false, true}) {
      layer.residual = residual;
      Build(layer).run_all();
    }
  }
}

TEST_F(CudaLines, ManyBlocks) {
  Build({8, 64, 256, 56, 56, 1, 0, true, true}).run_all();
  Build({8, 128, 128, 56, 57}).run_all();
  Build({16, 64, 64, 56, 56, 1, 64}).run_all("+sum");
}

/// ResNet-50's first blocks of a stage, and channels that fill neither chunks nor units.
TEST_F(CudaLines, ConvolutionsThatAreAdded) {
  for (LineLayer layer : {LineLayer{2, 64, 256, 14, 14, 1, 64}, {2, 256, 512, 14, 14, 2, 128}, {3, 24, 20, 5, 7, 1, 61}, {1, 200, 130, 9, 11, 3, 8}, {2, 61, 67, 7, 9, 1, 1000},
                          {1, 512, 128, 13, 13, 2, 36}}) {
    for (const bool bias : {false, true}) {
      layer.bias = bias;
      Build(layer).run_all("+sum");
    }
  }
}

TEST_F(CudaLines, LargerKernels) {
  for (LineLayer layer : {LineLayer{2, 64, 128, 14, 14}, {3, 40, 130, 10, 9, 2}, {1, 130, 20, 9, 8}, {5, 256, 72, 7, 7, 2}, {1, 512, 64, 14, 14}, {2, 24, 40, 12, 13, 3}}) {
    for (const std::array<std::int64_t, 2>& kernel : {std::array<std::int64_t, 2>{3, 3}, {4, 4}, {1, 5}, {5, 2}}) {
      for (const std::int64_t pad : {0, 1}) {
        layer.kernel = kernel;
        layer.pad = std::min(pad, std::min(kernel[0], kernel[1]) - 1);
        layer.residual = pad == 1;
        layer.dilation = kernel[0] == 3 && pad == 0 ? 2 : 1;
        Build(layer).run_all();
      }
    }
  }
}

TEST_F(CudaLines, ActivationsAndNoBias) {
  for (const Activation& activation : {Activation{UnaryKind::identity, 0, 0}, {UnaryKind::clip, 0, 1}, {UnaryKind::leaky_relu, 0.1F, 0}, {UnaryKind::silu, 0, 0}}) {
    LineLayer layer{1, 72, 96, 9, 9, 1, 0, true, true};
    layer.activation = activation;
    Build(layer).run_all();
    layer.bias = false;
    Build(layer).run_all();
  }
}

TEST_F(CudaLines, BatchNormRunsInside) {
  for (LineLayer layer : kLayers) {
    layer.norm = true;
    for (const bool relu : {false, true}) {
      layer.relu_before = relu;
      Build(layer).run_all(relu ? "+norm+relu" : "+norm");
    }
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test
