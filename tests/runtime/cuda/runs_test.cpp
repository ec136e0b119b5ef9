// Many runs in one stream, of several sessions in turn, that the host does not wait for: every kernel starts while the one before it still runs.
#include <cuda_runtime_api.h>

#include "device.hpp"
#include "layer_check.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda_test {
namespace {

/// A session on the GPU, whose input and output lie there.
struct Runner {
  Session session;
  wins::Shape shape;
  Tensor first;  ///< what `Session::run` gave
  cuda::DeviceBuffer in, out;

  Runner(const Graph& graph, const Tensor& x, Precision precision, const std::string& kernel)
      : session(open_on_gpu(graph, precision, kernel)), shape(x.shape()), first(session.run({x}).at(0)), in(x.bytes(), x.byte_size()), out(first.byte_size()) {}

  bool is_as_first() const {
    Tensor last(DType::f32, first.shape());
    if (cudaMemcpy(last.mutable_bytes(), out.data(), last.byte_size(), cudaMemcpyDeviceToHost) != cudaSuccess) return false;
    return std::equal(first.bytes(), first.bytes() + first.byte_size(), last.bytes());
  }
};

/// The end of VGG-16: a pruned layer of 512 channels and its pool, then three fully connected layers, narrower ones.
layers::Layer tail() {
  layers::Layer layer = layers::make_layer(parse_conv_problem("mb1ic512ih14oc512oh14kh3ph1:m2:rows318.0.0.317.0.0.0.0.0.0.0.0.336.0.0.340:bias+relu"));
  Graph& graph = layer.graph;
  Pool pool;
  pool.window.kernel = pool.window.stride = {2, 2};
  ValueId rows = graph.add_node("flatten", Flatten{1}, {graph.add_node("pool", pool, {graph.outputs[0]})});
  std::int64_t inner = 512 * 49;
  for (const std::int64_t columns : {1024, 512, 100}) {
    const ValueId weights = graph.add_constant("w", random_normal({columns, inner}, 7, 1 / std::sqrt(static_cast<float>(inner)))), bias = graph.add_constant("b", random_normal({columns}, 8));
    rows = graph.add_node("fc" + std::to_string(columns), Gemm{1, 1, false, true, {UnaryKind::relu, 0, 0}}, {rows, weights, bias});
    inner = columns;
  }
  graph.outputs = {rows};
  return layer;
}

class CudaRuns : public Operators {};

TEST_F(CudaRuns, ManyAtOnceGiveWhatOneGives) {
  const layers::Layer layer = tail();
  const Tensor reference = ref::run(layer.graph, layer.inputs, ref::Precision::float64).at(0);
  for (const PrecisionCase& precision : kPrecisions) {
    SCOPED_TRACE(precision.name);
    std::vector<Runner> runners;
    for (const std::string kernel : {"", "cuda:vector", "cuda:linear", "cuda:nonzeros"}) runners.emplace_back(layer.graph, layer.inputs[0], precision.precision, kernel);
    for (const Runner& runner : runners) {
      ASSERT_TRUE(runner.in.data() != nullptr && runner.out.data() != nullptr);
      EXPECT_LE(relative_l2(runner.first, reference), 5 * precision.bound);  // of four layers
    }
    for (int round = 0; round < 60; ++round) {
      for (Runner& runner : runners) {
        for (int again = 0; again < 1 + round % 4; ++again) runner.session.enqueue({runner.shape}, {runner.in.data()}, {runner.out.data()}, nullptr);
      }
    }
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    for (const Runner& runner : runners) EXPECT_TRUE(runner.is_as_first());
    expect_kernel(runners[1].session.plan({runners[1].shape}), "fc1024", "cuda:vector");
    expect_kernel(runners[2].session.plan({runners[2].shape}), "fc1024", "cuda:cublas");
    expect_kernel(runners[3].session.plan({runners[3].shape}), "fc1024", "cuda:nonzeros");
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test
