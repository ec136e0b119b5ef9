// The list of single layers (bench/layers/shapes.txt) on the GPU in every precision, against the float64 reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "layer_check.hpp"

namespace wins::runtime::cuda_test {
namespace {

bool has_rows(const ConvProblem& p) { return p.kept.empty() || p.axis == winograd::Axis::row; }
bool is_fused(const ConvProblem& p) { return p.m == 2 && has_rows(p); }

bool is_dense_3x3(const ConvProblem& p) {
  using Pair = std::array<std::int64_t, 2>;
  return p.m == 0 && p.kernel == Pair{3, 3} && p.stride == Pair{1, 1} && p.dilation == Pair{1, 1} && p.groups == 1;
}

void check_layer(const ConvProblem& problem, const std::string& force, const std::string& kernel) {
  const layers::Layer layer = layers::make_layer(problem);
  const Tensor reference = layers::reference_output(layer);
  for (const PrecisionCase& precision : kPrecisions) {
    SCOPED_TRACE(text_of(problem) + " " + precision.name);
    SessionOptions options;
    options.force_kernel = force;
    expect_kernel(run_layer(layer, reference, precision.precision, options), "conv", kernel);
  }
}

class CudaLayers : public testing::Test {
 protected:
  void SetUp() override {
    if (!unusable().empty()) GTEST_SKIP() << unusable();
  }
  static std::vector<ConvProblem> problems() {
    auto all = layers::read_problems(WINS_SOURCE_DIR "/bench/layers/shapes.txt");
    std::erase_if(all, [](const ConvProblem& p) { return p.direct_macs() > largest_layer(); });
    return all;
  }
};

TEST_F(CudaLayers, AreWithinTheBoundsOfTheirPrecision) {
  for (const ConvProblem& problem : problems()) {
    const bool fused = is_fused(problem);
    const std::string kernel = fused ? "cuda:winograd_fused" : problem.m != 0 ? "cuda:direct_winograd" : "";
    check_layer(problem, kernel, kernel.empty() ? "cuda:" : kernel);
  }
}

TEST_F(CudaLayers, DenseConvolutionsRunByTheFusedKernelToo) {
  int count = 0;
  for (const ConvProblem& problem : problems()) {
    if (!is_dense_3x3(problem)) continue;
    check_layer(problem, "cuda:winograd_fused", "cuda:winograd_fused");
    ++count;
  }
  EXPECT_GE(count, 5);
}

/// Pixels that grow with their channel, so that later turns need another power of two.
void grow(Tensor& x) {
  auto values = x.mutable_data<float>();
  const std::int64_t pixels = x.dim(2) * x.dim(3);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= std::exp2(static_cast<float>(static_cast<std::int64_t>(i) / pixels % x.dim(1)) / 8);
}

/// float32 pixels and weights as float16 under powers of two; several turns of channels, in the last problem several rectangles for a block.
TEST_F(CudaLayers, ScaledFactorsAreRight) {
  for (const char* text : {"mb2ic100ih11oc64kh3ph1:m2:rows12.0.0.12.8.0.0.0.0.0.0.0.0.0.0.12:bias+residual+relu", "mb1ic5ih3oc8kh3ph1:m2:rows1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
                           "mb1ic130ih7oc40kh3ph1:m2:rows0.9.0.0.7.40.0.0.0.0.0.0.1.0.0.0:bias", "mb6ic70ih60oc16kh3ph1:m2:rows5.0.0.6.0.0.0.0.0.0.0.0.4.0.0.5:bias+relu"}) {
    layers::Layer layer = layers::make_layer(parse_conv_problem(text));
    grow(layer.inputs[0]);
    const Tensor reference = layers::reference_output(layer);
    for (const PrecisionCase& precision : kPrecisions) {
      if (precision.precision != Precision::fp32 && precision.precision != Precision::tf32) continue;
      for (const std::string shape : {"t32i4u8", "t64i3u8", "t64i4u8", "t32i3u16", "t32i6u16"}) {
        const std::string cut = shape + (reference.dim(1) < 16 ? "k8h" : "k16h");
        SCOPED_TRACE(std::string(text) + " " + precision.name + " " + cut);
        SessionOptions options;
        options.force_kernel = "cuda:winograd_fused/" + cut;
        expect_kernel(run_layer(layer, reference, precision.precision, options), "conv", "cuda:winograd_fused_" + cut);
      }
    }
  }
}

/// The largest error of outputs more than 4 rows or columns away from pixel `x` of row `y`, over the largest output.
double error_far_from(const Tensor& output, const Tensor& reference, std::int64_t y, std::int64_t x) {
  const auto got = output.data<float>();
  const auto wanted = reference.data<double>();
  const std::int64_t width = reference.dim(3), height = reference.dim(2);
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    if (std::abs(at % width - x) <= 4 && std::abs(at / width % height - y) <= 4) continue;
    const double difference = std::fabs(got[i] - wanted[i]);
    error = difference <= error ? error : difference;  // NaN counts
    largest = std::max(largest, std::fabs(wanted[i]));
  }
  return error / largest;
}

TEST_F(CudaLayers, PixelsThatAreNoNumbersSpoilTheirNeighboursAlone) {
  const layers::Layer layer = layers::make_layer(parse_conv_problem("mb2ic70ih24oc16kh3ph1:m2:rows5.0.1.6.0.2.0.0.0.0.0.0.4.0.0.5:bias+relu"));
  const Tensor reference = layers::reference_output(layer);
  for (const float pixel : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Tensor x = layer.inputs[0];
    for (std::size_t channel = 0; channel < 140; ++channel) x.mutable_data<float>()[channel * 24 * 24 + 10 * 24 + 13] = pixel;
    for (const PrecisionCase& precision : kPrecisions) {
      if (precision.precision != Precision::fp32 && precision.precision != Precision::tf32) continue;
      for (const std::string cut : {"t32i4u8k16h", "t64i3u8k16h", "t32i3u16k16h", "t32i4u8k16"}) {
        SCOPED_TRACE(std::string(precision.name) + " " + cut);
        Session session = open_on_gpu(layer.graph, precision.precision, "cuda:winograd_fused/" + cut);
        const Tensor output = session.run({x}).at(0);
        EXPECT_LE(error_far_from(output, reference, 10, 13), layer_bound(precision.precision).max);
        EXPECT_FALSE(std::ranges::all_of(output.data<float>(), [](float y) { return std::isfinite(y); }));
        expect_kernel(session.plan(shapes_of({x})), "conv", "cuda:winograd_fused_" + cut);
      }
    }
  }
}

TEST_F(CudaLayers, ReluOfMinusInfinityIsZero) {
  layers::Layer layer = layers::make_layer(parse_conv_problem("mb1ic16ih8oc12kh3ph1:m2:rows5.0.1.6.0.2.0.0.0.0.0.0.4.0.0.5:bias+residual+relu"));  // 12: a group of 8, and half a one
  std::ranges::fill(layer.inputs.at(1).mutable_data<float>(), -std::numeric_limits<float>::infinity());
  const Tensor reference = layers::reference_output(layer);
  ASSERT_TRUE(std::ranges::all_of(reference.data<double>(), [](double y) { return y == 0; }));
  for (const PrecisionCase& precision : kPrecisions) {
    SCOPED_TRACE(precision.name);
    Session session = open_on_gpu(layer.graph, precision.precision, "cuda:winograd_fused");
    const Tensor output = session.run(layer.inputs).at(0);
    EXPECT_TRUE(std::ranges::all_of(output.data<float>(), [](float y) { return y == 0; }));
    expect_kernel(session.plan(shapes_of(layer.inputs)), "conv", "cuda:winograd_fused");
  }
}

TEST_F(CudaLayers, ChannelsSplitOverBlocksAreRight) {
  for (const char* text : {"mb2ic500ih11oc64kh3ph1:m2:rows12.0.0.12.8.0.0.0.0.0.0.0.0.0.0.12:bias+residual+relu", "mb1ic512ih7oc40kh3ph1:m2:rows0.9.0.0.7.40.0.0.0.0.0.0.1.0.0.0:bias",
                           "mb6ic512ih60oc16kh3ph1:m2:rows5.0.0.6.0.0.0.0.0.0.0.0.4.0.0.5:bias+relu", "mb1ic490ih10oc20kh3ph1:m2:bias+residual"}) {
    const layers::Layer layer = layers::make_layer(parse_conv_problem(text));
    const Tensor reference = layers::reference_output(layer);
    for (const PrecisionCase& precision : kPrecisions) {
      for (const std::string cut : {"t32i1u16k16s2", "t32i2u16k16s4", "t32i3u16k16s2", "t32i4u16k16s4"}) {
        if (reference.dim(1) == 20 && cut[4] < '2') continue;  // no row is pruned: more items than fit
        SCOPED_TRACE(std::string(text) + " " + precision.name + " " + cut);
        SessionOptions options;
        options.force_kernel = "cuda:winograd_fused/" + cut;
        expect_kernel(run_layer(layer, reference, precision.precision, options), "conv", "cuda:winograd_fused_" + cut);
      }
    }
  }
}

TEST_F(CudaLayers, RowPrunedLayersRunInStagesToo) {
  int small = 0, large = 0;
  for (const ConvProblem& problem : problems()) {
    if ((problem.m != 2 && problem.m != 4) || !has_rows(problem)) continue;
    check_layer(problem, "cuda:winograd_staged", problem.m == 2 ? "cuda:winograd_staged_m2" : "cuda:winograd_staged_m4");
    ++(problem.m == 2 ? small : large);
  }
  EXPECT_GE(small, 20);
  EXPECT_GT(large, 5);
}

TEST_F(CudaLayers, DenseConvolutionsRunInStagesToo) {
  int count = 0;
  for (const ConvProblem& problem : problems()) {
    if (!is_dense_3x3(problem)) continue;
    const layers::Layer layer = layers::make_layer(problem);
    const Tensor reference = layers::reference_output(layer);
    for (const PrecisionCase& precision : kPrecisions) {
      for (const int m : {2, 4}) {
        SCOPED_TRACE(text_of(problem) + " " + precision.name);
        SessionOptions options;
        options.force_kernel = "cuda:winograd_staged";
        options.force_m = m;
        // m = 4 rounds too much in anything but float32.
        const bool refused = m == 4 && precision.precision != Precision::fp32;
        const char* kernel = refused ? "cuda:" : m == 2 ? "cuda:winograd_staged_m2" : "cuda:winograd_staged_m4";
        expect_kernel(run_layer(layer, reference, precision.precision, options), "conv", kernel);
      }
    }
    ++count;
  }
  EXPECT_GE(count, 5);
}

TEST_F(CudaLayers, EveryConvolutionWithOneGroupRunsByTheImplicitProductToo) {
  int count = 0;
  for (const ConvProblem& problem : problems()) {
    if (problem.m != 0 || problem.groups != 1) continue;
    check_layer(problem, "cuda:implicit", "cuda:implicit");
    ++count;
  }
  EXPECT_GT(count, 20);
}

}  // namespace
}  // namespace wins::runtime::cuda_test
