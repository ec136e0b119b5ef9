// Pruned Winograd layers by the ordinary convolution that they equal: masks of any kind, strides 1 and 2.
#include "layer_check.hpp"
#include "wins/runtime/problem.hpp"

namespace wins::runtime::cuda_test {
namespace {

void check(const std::string& problem, const std::string& force, const std::string& kernel) {
  const layers::Layer layer = layers::make_layer(parse_conv_problem(problem));
  const Tensor reference = layers::reference_output(layer);
  SessionOptions options;
  options.force_kernel = force;
  for (const PrecisionCase& t : kPrecisions) {
    SCOPED_TRACE(problem + " " + t.name);
    expect_kernel(run_layer(layer, reference, t.precision, options), "conv", kernel);
  }
}

class CudaEquivalent : public Operators {};

TEST_F(CudaEquivalent, MasksOfEveryKind) {
  for (const char* problem : {
           "mb1ic17ih11iw13oc5kh3ph1:m2:bias+relu",
           "mb2ic12ih10oc20kh3:m2:bias",
           "mb3ic16ih9oc24kh3ph1:m2:rows9.14.19.24.4.9.14.19.24.4.9.14.19.24.4.9:bias+relu",
           "mb1ic24ih13oc20kh3ph1:m2:rows0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0:bias+relu",
           "mb1ic24ih13oc20kh3ph1:m2:cols0.7.14.21.3.10.17.24.6.13.20.2.9.16.23.5:bias",
           "mb2ic24ih13oc20kh3ph1:m2:elems0.37.74.111.148.185.222.259.296.333.370.407.444.1.38.75:bias",
           "mb1ic19ih9iw8oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9:bias+residual+clip",
           "mb1ic19ih9iw8oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9:bias+residual+silu",
           "mb1ic19ih9iw8oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9:residual+relu",
           "mb2ic64ih28oc128kh3ph1:m2:bias+relu",
       }) {
    check(problem, "cuda:equivalent", "cuda:equivalent_");
  }
}

/// Small layers go to the implicit product, which puts outputs in place itself where no residual is left to add.
TEST_F(CudaEquivalent, OutputsArePutInPlace) {
  const std::string layer = "mb3ic24ih13iw11oc21kh3ph1:m2:rows0.5.10.15.20.3.8.13.18.1.6.11.16.21.4.9";
  for (const char* end : {":bias+relu", ":bias", ":bias+clip", ":bias+residual+relu", ":bias+silu"}) {
    const std::string problem = layer + end;
    const bool apart = problem.find("residual") != std::string::npos || problem.find("silu") != std::string::npos;
    const layers::Layer made = layers::make_layer(parse_conv_problem(problem));
    const Tensor reference = layers::reference_output(made);
    SessionOptions options;
    options.force_kernel = "cuda:equivalent";
    for (const PrecisionCase& t : kPrecisions) {
      SCOPED_TRACE(problem + " " + t.name);
      const std::string kernel = kernel_of(run_layer(made, reference, t.precision, options), "conv");
      EXPECT_EQ(kernel.ends_with("+shuffle"), apart) << kernel;
    }
  }
}

TEST_F(CudaEquivalent, IsChosenWhereNothingSkipsRows) {
  check("mb2ic64ih28oc64kh3ph1:m2:cols20.20.20.20.20.20.20.20.20.20.20.20.20.20.20.20:bias+relu", "", "cuda:equivalent_");
}

TEST_F(CudaEquivalent, LeavesRowsThatWereMostlyPrunedAlone) {
  check("mb1ic64ih56oc64oh56kh3ph1:m2:rows38.4.4.37.2.0.0.3.4.0.0.3.29.2.4.34:bias+relu", "", "cuda:winograd_");
}

}  // namespace
}  // namespace wins::runtime::cuda_test
