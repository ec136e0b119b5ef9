// Layers of stride 2 in training: values, gradients, the refit, a short run.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "pruning/networks.hpp"
#include "synthetic.hpp"
#include "winograd_function.hpp"
#include "winograd_plan.hpp"
#include "wins/base/error.hpp"
#include "wins/pruning/prune.hpp"
#include "wins/refit/refit.hpp"
#include "wins/runtime/ref/ref.hpp"
#include "wins/training/training.hpp"

namespace wins::training {
namespace {

using winograd::Axis;
using winograd::Mask;

struct Layer {
  WinogradLayerPtr function;
  at::Tensor x, U, bias;
};

/// A pruned layer on pictures of h x w, all in double.
Layer make_layer(std::array<std::int64_t, 4> pads, std::int64_t h, std::int64_t w, Axis axis) {
  constexpr std::int64_t kC = 5, kK = 6;
  graph::WinogradConv op;
  op.stride = 2;
  op.pads = pads;
  op.mask = Mask::full(axis, 25, kK, kC);
  for (std::size_t i = 0; i < op.mask.keep.size(); ++i) op.mask.keep[i] = (i * 2654435761U >> 7) % 3 != 0;
  const auto units = static_cast<std::ptrdiff_t>(op.mask.units());
  std::fill_n(op.mask.keep.begin() + 3 * units, units, std::uint8_t{0});  // a dead position
  Layer layer{make_winograd_layer(op, at::kCPU), {}, {}, {}};
  at::manual_seed(h * 100 + w);
  layer.x = at::randn({2, kC, h, w}, at::kDouble);
  layer.U = at::randn({25, kK, kC}, at::kDouble) * layer.function->keep;
  layer.bias = at::randn({kK}, at::kDouble);
  return layer;
}

at::Tensor tensor_of(const winograd::Matrix& matrix) {
  return at::tensor(matrix.values, at::kDouble).view({matrix.rows, matrix.cols});
}

/// The equivalent convolution (kernel 5, stride 4) and depth-to-space: autograd goes through all of it.
at::Tensor oracle(const Layer& layer, const at::Tensor& x, const at::Tensor& U, const at::Tensor& bias) {
  const winograd::Algorithm& f = *layer.function->algorithm;
  const auto& pads = layer.function->pads;
  const at::Tensor A = tensor_of(f.A), B = tensor_of(f.B);
  const std::int64_t K = U.size(1), C = U.size(2);
  const at::Tensor kernel =
      at::einsum("ia,jb,ijkc,yi,xj->kabcyx", {A, A, U.view({5, 5, K, C}), B, B}).reshape({K * 4, C, 5, 5});
  const std::int64_t out_h = (x.size(2) + pads[0] + pads[2] - 3) / 2 + 1, out_w = (x.size(3) + pads[1] + pads[3] - 3) / 2 + 1;
  const at::Tensor padded = at::constant_pad_nd(x, {pads[1], pads[3] + 2, pads[0], pads[2] + 2});
  const at::Tensor y = at::pixel_shuffle(at::conv2d(padded, kernel, {}, 4), 2);
  return y.slice(2, 0, out_h).slice(3, 0, out_w) + bias.view({1, -1, 1, 1});
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).norm().item<double>() / b.norm().item<double>();
}

TEST(StridedTraining, ValuesAndGradientsEqualTheEquivalentConvolution) {
  for (const Axis axis : {Axis::row, Axis::column, Axis::element}) {
    for (const std::array<std::int64_t, 4>& pads :
         {std::array<std::int64_t, 4>{1, 1, 1, 1}, {0, 0, 0, 0}, {0, 2, 1, 0}}) {
      for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{8, 9}, {3, 4}, {11, 6}, {10, 7}}) {
        SCOPED_TRACE(testing::Message() << h << "x" << w << " pads " << pads[0] << pads[1]);
        const Layer layer = make_layer(pads, h, w, axis);
        for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
          const at::Tensor x = layer.x.to(type).requires_grad_(), U = layer.U.to(type).requires_grad_(),
                           bias = layer.bias.to(type).requires_grad_();
          const at::Tensor x2 = layer.x.clone().requires_grad_(), U2 = layer.U.clone().requires_grad_(),
                           bias2 = layer.bias.clone().requires_grad_();
          const at::Tensor y = winograd_conv(layer.function, x, U, bias), want = oracle(layer, x2, U2, bias2);
          ASSERT_EQ(y.sizes(), want.sizes());
          const double bound = type == at::kDouble ? 1e-13 : 1e-6;
          EXPECT_LT(relative(y.detach(), want.detach()), bound);
          const at::Tensor dy = at::randn(want.sizes(), at::kDouble);
          const auto got = torch::autograd::grad({y}, {x, U, bias}, {dy.to(type)});
          const auto expected = torch::autograd::grad({want}, {x2, U2, bias2}, {dy});
          EXPECT_LT(relative(got[0], expected[0]), bound);
          EXPECT_LT(relative(got[1], expected[1] * layer.function->keep), bound);
          EXPECT_LT(relative(got[2], expected[2]), bound);
          EXPECT_EQ((got[1] * (1 - layer.function->keep)).abs().max().item<double>(), 0);
        }
      }
    }
  }
}

TEST(StridedTraining, GradientsEqualFiniteDifferences) {
  const Layer layer = make_layer({1, 1, 1, 1}, 6, 7, Axis::row);
  const at::Tensor x = layer.x.clone().requires_grad_(), U = layer.U.clone().requires_grad_();
  // The loss is quadratic: central differences are exact but for rounding.
  const auto loss = [&](const at::Tensor& input, const at::Tensor& weights) {
    return winograd_conv(layer.function, input, weights, layer.bias).square().sum();
  };
  const auto gradients = torch::autograd::grad({loss(x, U)}, {x, U});
  const auto check = [&](const at::Tensor& gradient, bool of_x, std::int64_t i) {
    const at::Tensor step = at::zeros_like(gradient);
    step.view({-1})[i] = 1e-3;
    const auto at_offset = [&](double sign) {
      return loss(of_x ? layer.x + step * sign : layer.x, of_x ? layer.U : layer.U + step * sign).item<double>();
    };
    const double slope = (at_offset(1) - at_offset(-1)) / 2e-3;
    EXPECT_NEAR(gradient.reshape({-1})[i].item<double>(), slope, 1e-7 * (1 + std::abs(slope))) << of_x << " " << i;
  };
  for (std::int64_t i = 0; i < layer.x.numel(); i += 7) check(gradients[0].contiguous(), true, i);
  const at::Tensor keep = layer.function->keep.expand_as(layer.U).reshape({-1});
  for (std::int64_t i = 0; i < layer.U.numel(); i += 3) {
    if (keep[i].item<float>() != 0) check(gradients[1], false, i);
  }
}

TEST(StridedTraining, KernelsOfStrideOneRefuseIt) {
  WinogradProblem problem;
  problem.algorithm = &winograd::algorithm(2, 3, 2);
  problem.batch = problem.channels = problem.filters = 1;
  problem.out_h = problem.out_w = 2;
  Plan plan;
  EXPECT_THROW(make_plan(plan, problem, {}, nullptr, 4, Pass::forward), Error);
}

pruning::PruneConfig config_of(double ratio) {
  pruning::PruneConfig config;
  config.method = pruning::Method::wins;
  config.criterion = pruning::Criterion::l2;
  config.ratio = ratio;
  config.strided = true;
  return config;
}

TEST(StridedTraining, NetworkEqualsTheReference) {
  graph::Graph graph = pruning::testing::five_layers(true);
  graph.value(graph.inputs[0]).shape = Shape{-1, 3, 13, 11};
  pruning::prune(graph, config_of(0.6), {});
  const Tensor x = random_normal({2, 3, 13, 11}, 3);
  const Tensor want = runtime::ref::run(graph, {x}, runtime::ref::Precision::float64).at(0);
  EXPECT_LT(relative_l2(forward(graph, {x}).at(0), want), 1e-5);
}

TEST(StridedTraining, RefitGivesWhatTheCpuGives) {
  const graph::Graph dense = pruning::testing::five_layers(true);
  graph::Graph pruned = dense;
  pruning::prune(pruned, config_of(0.5), {});
  std::vector<Tensor> batches;
  for (std::uint64_t b = 0; b < 4; ++b) batches.push_back(random_normal({8, 3, 12, 12}, 3 + b));
  refit::RefitOptions options;
  options.max_iterations = 300;
  options.tolerance = 1e-6;
  options.engine = "ref";
  const refit::RefitResult want = refit::refit(pruned, dense, batches, options);
  const refit::RefitResult have = refit(pruned, dense, batches, options, "cpu");
  ASSERT_EQ(have.layers.size(), want.layers.size());
  for (std::size_t i = 0; i < want.layers.size(); ++i) {
    EXPECT_EQ(have.layers[i].tiles, want.layers[i].tiles);
    EXPECT_TRUE(have.layers[i].refitted) << have.layers[i].reason;
    EXPECT_NEAR(have.layers[i].error_before, want.layers[i].error_before, 1e-3 * want.layers[i].error_before + 1e-6);
    EXPECT_NEAR(have.layers[i].error_after, want.layers[i].error_after, 1e-2 * want.layers[i].error_after + 1e-6);
  }
  const Tensor x = random_normal({8, 3, 12, 12}, 99);
  EXPECT_LE(relative_l2(forward(have.graph, {x}).at(0), forward(want.graph, {x}).at(0)), 1e-2);
}

TEST(StridedTraining, ARunMovesKeptWeightsAlone) {
  const Squares dataset(64);
  const graph::Graph teacher = small_network();
  graph::Graph start = teacher;
  pruning::prune(start, config_of(0.5), {});
  TrainOptions options;
  options.batch_size = 16;
  options.max_steps = 6;
  const graph::Graph after = train(start, dataset, Squares::preprocess(), options, &teacher).graph;
  int strided = 0;
  for (const graph::Node& node : after.nodes) {
    const auto* op = node.as<graph::WinogradConv>();
    if (op == nullptr || op->stride != 2) continue;
    ++strided;
    const auto now = after.constant_input(node, 1)->data<float>();
    const auto old = start.constant_input(*start.find_node(node.name), 1)->data<float>();
    std::size_t moved = 0;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const bool kept = op->mask.keep[i / static_cast<std::size_t>(op->mask.columns)] != 0;
      if (!kept) {
        ASSERT_EQ(now[i], 0.0F);
      }
      moved += kept && now[i] != old[i] ? 1 : 0;
    }
    EXPECT_GT(moved, now.size() / 4);
  }
  EXPECT_GT(strided, 0);
}

}  // namespace
}  // namespace wins::training
