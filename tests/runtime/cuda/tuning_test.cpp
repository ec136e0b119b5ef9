// Tuning on a GPU: kernels are timed once, the file keeps the times, and results stay right.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "contender.hpp"
#include "operator_net.hpp"
#include "wins/runtime/tuning_table.hpp"

namespace wins::runtime::cuda_test {
namespace {

namespace fs = std::filesystem;

class CudaTuning : public testing::Test {
 protected:
  void SetUp() override {
    if (!unusable().empty()) GTEST_SKIP() << unusable();
    folder_ = fs::temp_directory_path() / ("wins-cuda-tuning-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  SessionOptions options(Precision precision) const {
    SessionOptions options;
    options.backend = "cuda";
    options.precision = precision;
    options.tune = true;
    options.tune_cache = (folder_ / "tuning.txt").string();
    return options;
  }
  fs::path folder_;
};

LayerPlan line_of(Session& session, const layers::Layer& layer) {
  std::vector<wins::Shape> shapes;
  for (const Tensor& input : layer.inputs) shapes.push_back(input.shape());
  for (const LayerPlan& line : session.plan(shapes).layers) {
    if (line.node == "conv") return line;
  }
  return {};
}

TEST_F(CudaTuning, MeasuresOnceAndStaysRight) {
  for (const char* text : {"mb2ic32ih14oc64kh3ph1:m2:rows30.4.4.30.2.0.0.3.4.0.0.3.29.2.4.34:bias+relu", "mb2ic64ih14oc128kh1:bias+relu"}) {
    const layers::Layer layer = layers::make_layer(parse_conv_problem(text));
    const Tensor reference = layers::reference_output(layer);
    for (const Precision precision : {Precision::fp32, Precision::fp16}) {
      SCOPED_TRACE(text);
      Session first = Session::open(layer.graph, options(precision));
      const LayerPlan line = line_of(first, layer);
      EXPECT_GT(line.tuned_us, 0);
      EXPECT_FALSE(line.choice.empty());
      EXPECT_LE(layers::errors_of(first.run(layer.inputs).at(0), reference).relative_l2, precision == Precision::fp32 ? 2e-5 : 2e-3);
      // Another session takes the times from the file: to the last digit.
      Session second = Session::open(layer.graph, options(precision));
      const LayerPlan again = line_of(second, layer);
      EXPECT_EQ(again.choice, line.choice);
      EXPECT_NEAR(again.tuned_us, line.tuned_us, 1e-3 * line.tuned_us);
      // And the choice can be forced, cut and all.
      SessionOptions forced = options(precision);
      forced.tune = false;
      forced.force_kernel = line.choice;
      Session third = Session::open(layer.graph, forced);
      EXPECT_EQ(line_of(third, layer).kernel, line.kernel);
    }
  }
  EXPECT_FALSE(read_tuning(folder_ / "tuning.txt").empty());
}

/// A convolution, another one that it adds, and a product that reads pixels as they lie.
TEST_F(CudaTuning, StepsOfSeveralNodesStayRight) {
  Net net(wins::Shape{2, 64, 8, 8});
  const ValueId other = net.input(wins::Shape{2, 32, 8, 8});
  Conv conv;
  conv.window.kernel = {1, 1};
  const ValueId summand = net.graph.add_node("summand", conv, {other, net.constant({128, 32, 1, 1}, 3)});
  conv.activation.kind = UnaryKind::relu;
  const ValueId sum = net.graph.add_node("sum", conv, {net.x, net.constant({128, 64, 1, 1}, 4), kNone, summand});
  const ValueId rows = net.graph.add_node("flatten", Flatten{1}, {sum});
  net.graph.outputs = {net.graph.add_node("product", Gemm{1, 1, false, true, {}}, {rows, net.constant({24, 8192}, 5)})};
  const Tensor reference = ref::run(net.graph, net.tensors, ref::Precision::float64).at(0);
  for (const PrecisionCase& t : kPrecisions) {
    Session session = Session::open(net.graph, options(t.precision));
    EXPECT_LE(layers::errors_of(session.run(net.tensors).at(0), reference).relative_l2, 2 * t.bound) << t.name;
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test
