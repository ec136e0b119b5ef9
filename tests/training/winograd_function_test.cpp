// Forward and gradients of the Winograd layer against the strided convolution that it equals, with
// autograd through an einsum, in double.
#include "winograd_function.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <random>

#include "winograd_plan.hpp"

namespace wins::training {
namespace {

using winograd::Axis;
using winograd::Mask;

struct Case {
  int m;
  std::int64_t batch, channels, filters, height, width;
  std::array<std::int64_t, 4> pads;
  Axis axis;
  double ratio;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "m" << c.m << " " << c.batch << "x" << c.channels << "x" << c.height << "x" << c.width << " K"
             << c.filters << " axis " << static_cast<int>(c.axis) << " ratio " << c.ratio;
}

Mask random_mask(const Case& c, int positions) {
  Mask mask = Mask::full(c.axis, positions, c.filters, c.channels);
  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform;
  for (auto& keep : mask.keep) keep = uniform(random) >= c.ratio ? 1 : 0;
  // One position dies altogether, another lives altogether.
  const auto units = static_cast<std::size_t>(mask.units());
  if (c.ratio > 0) {
    std::fill_n(mask.keep.begin() + static_cast<std::ptrdiff_t>(units), units, 0);
    std::fill_n(mask.keep.begin() + static_cast<std::ptrdiff_t>(2 * units), units, 1);
  }
  return mask;
}

/// matrix as a double tensor.
at::Tensor tensor_of(const winograd::Matrix& matrix) {
  return at::tensor(matrix.values, at::kDouble).view({matrix.rows, matrix.cols});
}

/// Depth-to-space of a strided convolution whose kernel is made of U: differentiable throughout.
at::Tensor oracle(const WinogradLayer& layer, const at::Tensor& x, const at::Tensor& U,
                  const at::Tensor& bias) {
  const winograd::Algorithm& f = *layer.algorithm;
  const std::int64_t p = f.p(), K = U.size(1), C = U.size(2), m = f.m;
  const at::Tensor A = tensor_of(f.A), B = tensor_of(f.B);
  const at::Tensor kernel = at::einsum("ia,jb,ijkc,yi,xj->kabcyx", {A, A, U.view({p, p, K, C}), B, B})
                                .reshape({K * m * m, C, p, p});
  const std::int64_t out_h = x.size(2) + layer.pads[0] + layer.pads[2] - f.r + 1;
  const std::int64_t out_w = x.size(3) + layer.pads[1] + layer.pads[3] - f.r + 1;
  const std::int64_t rows = (out_h + m - 1) / m, cols = (out_w + m - 1) / m;
  const at::Tensor padded =
      at::constant_pad_nd(x, {layer.pads[1], cols * m + f.r - 1 - x.size(3) - layer.pads[1], layer.pads[0],
                              rows * m + f.r - 1 - x.size(2) - layer.pads[0]});
  const at::Tensor y = at::pixel_shuffle(at::conv2d(padded, kernel, {}, m), m);
  return y.slice(2, 0, out_h).slice(3, 0, out_w) + bias.view({1, -1, 1, 1});
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.to(at::kDouble);
  return (a.to(at::kDouble) - wide).norm().item<double>() / wide.norm().item<double>();
}

class WinogradFunction : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    graph::WinogradConv op;
    op.m = c.m;
    op.pads = c.pads;
    op.mask = random_mask(c, winograd::algorithm(c.m, 3).positions());
    layer_ = make_winograd_layer(op, at::kCPU);
    at::manual_seed(3);
    x_ = at::randn({c.batch, c.channels, c.height, c.width}, at::kDouble);
    U_ = at::randn({layer_->algorithm->positions(), c.filters, c.channels}, at::kDouble) * layer_->keep;
    bias_ = at::randn({c.filters}, at::kDouble);
    expected_ = run(at::kDouble, true);
  }

  struct Outcome {
    at::Tensor y, dx, dU, dbias;
  };
  Outcome run(at::ScalarType type, bool by_oracle) const {
    const at::Tensor x = x_.to(type).clone().requires_grad_(), U = U_.to(type).clone().requires_grad_(),
                     bias = bias_.to(type).clone().requires_grad_();
    const at::Tensor y = by_oracle ? oracle(*layer_, x, U, bias) : winograd_conv(layer_, x, U, bias);
    at::manual_seed(5);
    const at::Tensor dy = at::randn(y.sizes(), at::kDouble).to(type);
    const auto gradients = torch::autograd::grad({y}, {x, U, bias}, {dy});
    return {y.detach(), gradients[0], gradients[1] * (by_oracle ? layer_->keep : at::ones({1})).to(type),
            gradients[2]};
  }
  void expect_near(const Outcome& got, double bound) const {
    EXPECT_LT(relative(got.y, expected_.y), bound);
    EXPECT_LT(relative(got.dx, expected_.dx), bound);
    EXPECT_LT(relative(got.dU, expected_.dU), bound);
    EXPECT_LT(relative(got.dbias, expected_.dbias), bound);
    EXPECT_EQ((got.dU * (1 - layer_->keep)).abs().max().item<double>(), 0);
  }

  WinogradLayerPtr layer_;
  at::Tensor x_, U_, bias_;
  Outcome expected_;
};

TEST_P(WinogradFunction, TensorOperationsInDoubleEqualTheOracle) {
  expect_near(run(at::kDouble, false), 1e-12);
}

TEST_P(WinogradFunction, KernelsInFloatEqualTheOracle) {
  // Rounding grows with the tile; the transforms of F(6,3) lose about two digits.
  const double bound = GetParam().m == 2 ? 1e-6 : GetParam().m == 4 ? 1e-5 : 1e-4;
  for (std::size_t isa = 0; isa < winograd_isas().size(); ++isa) {
    SCOPED_TRACE(winograd_isas()[isa]);
    choose_winograd_isa(isa);
    expect_near(run(at::kFloat, false), bound);
  }
  choose_winograd_isa(0);
}

TEST_P(WinogradFunction, KernelsDoNotDependOnTheMemoryFormat) {
  const at::Tensor x = x_.to(at::kFloat), U = U_.to(at::kFloat), bias = bias_.to(at::kFloat);
  EXPECT_TRUE(at::equal(winograd_conv(layer_, x, U, bias),
                        winograd_conv(layer_, x.contiguous(at::MemoryFormat::ChannelsLast), U, bias)));
}

TEST_P(WinogradFunction, BackwardIsDeterministic) {
  const Outcome a = run(at::kFloat, false), b = run(at::kFloat, false);
  EXPECT_TRUE(at::equal(a.dU, b.dU));
  EXPECT_TRUE(at::equal(a.dx, b.dx));
}

INSTANTIATE_TEST_SUITE_P(Layers, WinogradFunction,
                         testing::Values(Case{2, 3, 16, 16, 8, 8, {1, 1, 1, 1}, Axis::row, 0.0},
                                         Case{2, 2, 20, 37, 7, 9, {1, 1, 1, 1}, Axis::row, 0.0},
                                         Case{2, 3, 32, 64, 14, 13, {1, 1, 1, 1}, Axis::row, 0.84},
                                         Case{2, 1, 5, 70, 5, 3, {0, 2, 1, 0}, Axis::row, 0.5},
                                         Case{2, 2, 33, 18, 6, 7, {0, 0, 0, 0}, Axis::column, 0.5},
                                         Case{2, 5, 24, 40, 9, 9, {1, 1, 1, 1}, Axis::element, 0.84},
                                         Case{2, 1, 3, 2, 1, 1, {1, 1, 1, 1}, Axis::row, 0.0},
                                         Case{4, 2, 17, 40, 11, 14, {1, 1, 1, 1}, Axis::row, 0.6},
                                         Case{6, 2, 16, 24, 13, 15, {1, 1, 1, 1}, Axis::row, 0.0}));

TEST(WinogradPlan, SmallTilesTakeTheFastTransforms) {
  WinogradProblem problem;
  for (const int m : {2, 4}) {
    problem.algorithm = &winograd::algorithm(m, 3);
    problem.batch = problem.channels = problem.filters = 1;
    problem.out_h = problem.out_w = m;
    Plan plan;
    make_plan(plan, problem, {}, nullptr, 4, Pass::forward);
    EXPECT_EQ(plan.factors.fast, m == 2);
  }
}

TEST(WinogradFunctionEdge, ALayerWithoutWeightsGivesTheBias) {
  graph::WinogradConv op;
  op.mask = Mask::full(Axis::row, 16, 4, 8);
  std::fill(op.mask.keep.begin(), op.mask.keep.end(), 0);
  const WinogradLayerPtr layer = make_winograd_layer(op, at::kCPU);
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor x = at::randn({2, 8, 5, 5}, type).requires_grad_();
    const at::Tensor U = at::zeros({16, 4, 8}, type).requires_grad_(), bias = at::arange(4).to(type);
    const at::Tensor y = winograd_conv(layer, x, U, bias);
    EXPECT_TRUE(at::equal(y, bias.view({1, 4, 1, 1}).expand_as(y)));
    const auto gradients = torch::autograd::grad({winograd_conv(layer, x, U, {}).sum()}, {x, U});
    EXPECT_EQ(gradients[0].abs().max().item<double>(), 0);
    EXPECT_EQ(gradients[1].abs().max().item<double>(), 0);
  }
}

}  // namespace
}  // namespace wins::training
