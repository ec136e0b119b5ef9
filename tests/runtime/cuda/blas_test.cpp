// 1x1 convolutions through cuBLAS: each algorithm that its heuristics name, and the one that runs without a name.
#include "layer_check.hpp"
#include "operator_net.hpp"

namespace wins::runtime::cuda_test {
namespace {

struct PointwiseLayer {
  std::int64_t n, c, k, h, w;
  bool residual = false, relu = true;
};

class CudaBlas : public Operators {
 protected:
  static Net net_of(const PointwiseLayer& l) {
    Net net(wins::Shape{l.n, l.c, l.h, l.w});
    Conv conv;
    conv.window.kernel = {1, 1};
    if (l.relu) conv.activation.kind = UnaryKind::relu;
    std::vector<ValueId> inputs{net.x, net.constant({l.k, l.c, 1, 1}, 3), net.constant({l.k}, 4)};
    if (l.residual) inputs.push_back(net.input({l.n, l.k, l.h, l.w}));
    net.graph.outputs = {net.graph.add_node("op", conv, inputs)};
    return net;
  }

  /// Runs the algorithm of a name, `cuda:pointwise/3`; its line of the plan.
  static std::string run(const Net& net, const PrecisionCase& t, const std::string& name, const Tensor& reference) {
    SessionOptions options;
    options.backend = "cuda";
    options.precision = t.precision;
    options.force_kernel = name;
    Session session = Session::open(net.graph, options);
    const Tensor y = session.run(net.tensors).at(0);
    const layers::Errors errors = layers::errors_of(y, reference), bound = layer_bound(t.precision);
    EXPECT_LE(errors.relative_l2, bound.relative_l2) << t.name << " " << name;
    EXPECT_LE(errors.max, bound.max) << t.name << " " << name;
    return kernel_of(session.plan(shapes_of(net.tensors)), "op");
  }
};

TEST_F(CudaBlas, EveryAlgorithmIsRight) {
  // The last has so many rows that the order of the heuristics counts no more.
  for (const PointwiseLayer& l : {PointwiseLayer{1, 19, 35, 7, 9}, PointwiseLayer{3, 64, 128, 9, 5, true}, PointwiseLayer{2, 32, 16, 8, 8, true, false},
                                  PointwiseLayer{64, 24, 72, 18, 18}, PointwiseLayer{64, 72, 128, 18, 18, true}}) {
    const Net net = net_of(l);
    const Tensor reference = ref::run(net.graph, net.tensors, ref::Precision::float64).at(0);
    for (const PrecisionCase& t : kPrecisions) {
      SCOPED_TRACE(to_string(net.tensors[0].shape()) + " to " + to_string(reference.shape()) + " " + t.name);
      EXPECT_TRUE(run(net, t, "cuda:pointwise", reference).starts_with("cuda:cublas_"));
      for (int place = 0; place < 8; ++place) {
        const std::string kernel = run(net, t, "cuda:pointwise/" + std::to_string(place), reference);
        // Past the last one another kernel takes the layer.
        EXPECT_TRUE(kernel == "cuda:cublas_" + std::to_string(place) || (place > 0 && !kernel.starts_with("cuda:cublas_"))) << kernel;
      }
    }
  }
}

TEST_F(CudaBlas, AnAlgorithmIsANumber) {
  Net net = net_of({1, 16, 16, 4, 4});
  net.force_kernel = "cuda:pointwise/fast";
  try {
    net.plan();
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cuBLAS's algorithms have numbers, not 'fast'"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace wins::runtime::cuda_test
