// A 2x2 max-pool behind a Winograd layer: one window for each tile, so that one step does both.
#include "layer_check.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda_test {
namespace {

constexpr const char* kKernels[] = {"cuda:winograd_fused"};

/// A layer with a pool behind it.
struct PooledLayer {
  layers::Layer layer;

  PooledLayer(const std::string& problem, const Pool& pool) : layer(layers::make_layer(parse_conv_problem(problem))) {
    Graph& graph = layer.graph;
    graph.outputs = {graph.add_node("pool", pool, {graph.outputs[0]})};
  }

  template <class Check>
  void run(const std::string& kernel, const Check& check) const {
    const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
    SessionOptions options;
    options.force_kernel = kernel;
    for (const PrecisionCase& t : kPrecisions) {
      SCOPED_TRACE(t.name);
      check(run_layer(layer, reference, t.precision, options));
    }
  }
};

Pool halving_pool() {
  Pool pool;
  pool.window.kernel = pool.window.stride = {2, 2};
  return pool;
}

bool is_inside(const Plan& plan) {
  return kernel_of(plan, "conv").ends_with("+max_pool") && std::ranges::none_of(plan.layers, [](const LayerPlan& line) { return line.kernel == "cuda:pool"; });
}

class CudaWinogradPool : public Operators {};

TEST_F(CudaWinogradPool, RunsInTheStepOfTheLayer) {
  const std::string problems[] = {
      "mb1ic64ih56oc64oh56kh3ph1:m2:rows38.4.4.37.2.0.0.3.4.0.0.3.29.2.4.34:bias+relu",
      "mb3ic16ih9oc24kh3ph1:m2:rows9.14.19.24.4.9.14.19.24.4.9.14.19.24.4.9:bias+relu",  // a row and a column left over
      "mb2ic24ih13iw10oc20kh3ph1:m2:rows0.7.14.0.7.14.0.7.14.0.7.14.0.7.14.0",
      "mb2ic19ih9iw8oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9:bias+clip",
      "mb2ic19ih9iw8oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9:bias+leaky_relu",
      "mb1ic256ih14oc256oh14kh3ph1:m2:rows176.0.0.162.0.0.0.0.0.0.0.0.164.1.1.151:bias",
      "mb5ic40ih6oc72kh3:m2:bias",
      "mb1ic24ih13oc20kh3ph1:m2:rows0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0:bias+relu",
  };
  for (const char* kernel : kKernels) {
    for (const std::string& problem : problems) {
      if (parse_conv_problem(problem).direct_macs() > largest_layer()) continue;
      SCOPED_TRACE(std::string(kernel) + " " + problem);
      PooledLayer(problem, halving_pool()).run(kernel, [&](const Plan& plan) {
        expect_kernel(plan, "conv", kernel);
        EXPECT_TRUE(is_inside(plan)) << plan.text();
      });
    }
  }
}

TEST_F(CudaWinogradPool, OtherPoolsAndLayersStayApart) {
  const std::string plain = "mb1ic24ih13iw13oc20kh3ph1:m2:bias+relu";
  Pool padded = halving_pool(), larger = halving_pool(), dense = halving_pool(), upwards = halving_pool();
  padded.window.pads = {1, 1, 1, 1};
  larger.window.kernel = {3, 3};
  dense.window.stride = {1, 1};
  upwards.ceil_mode = true;  // a window that reaches out of 13 pixels
  for (const char* kernel : kKernels) {
    const auto expect_apart = [&](const Plan& plan) {
      expect_kernel(plan, "conv", kernel);
      EXPECT_EQ(kernel_of(plan, "pool"), "cuda:pool") << plan.text();
    };
    for (const Pool& pool : {padded, larger, dense, upwards}) PooledLayer(plain, pool).run(kernel, expect_apart);
    PooledLayer("mb1ic24ih13oc20kh3ph1:m2:bias+residual+relu", halving_pool()).run(kernel, expect_apart);
    PooledLayer("mb1ic24ih13oc20kh3ph1:m2:bias+silu", halving_pool()).run(kernel, expect_apart);
  }
}

TEST_F(CudaWinogradPool, NotANumberWins) {
  PooledLayer pooled("mb1ic16ih8oc16kh3ph1:m2:bias+relu", halving_pool());
  pooled.layer.inputs[0].mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  for (const char* kernel : kKernels) {
    SessionOptions options;
    options.backend = "cuda";
    options.force_kernel = kernel;
    const Tensor output = Session::open(pooled.layer.graph, options).run(pooled.layer.inputs).at(0);
    EXPECT_TRUE(std::isnan(output.data<float>()[0]));
    EXPECT_FALSE(std::isnan(output.data<float>()[15]));
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test
