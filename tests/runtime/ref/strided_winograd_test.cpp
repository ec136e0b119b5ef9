// The Winograd layer of stride 2 against direct and equivalent convolutions.
#include "known_values.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::ref {
namespace {

constexpr std::int64_t kC = 3, kK = 4;

Tensor small_integers(const Shape& shape, std::int64_t seed) {
  Tensor result(DType::f32, shape);
  std::int64_t i = seed;
  for (float& value : result.mutable_data<float>()) value = static_cast<float>(++i * 37 % 15 - 7);
  return result;
}

graph::WinogradConv layer(std::array<std::int64_t, 4> pads, winograd::Axis axis = winograd::Axis::row) {
  graph::WinogradConv op;
  op.stride = 2;
  op.pads = pads;
  op.mask = winograd::Mask::full(axis, 25, kK, kC);
  return op;
}

graph::Conv direct(std::array<std::int64_t, 4> pads) {
  graph::Conv conv;
  conv.window = {.kernel = {3, 3}, .stride = {2, 2}, .pads = pads};
  return conv;
}

TEST(StridedWinograd, EqualsTheDirectConvolutionExactlyOnIntegers) {
  int cases = 0;
  const Tensor g = small_integers({kK, kC, 3, 3}, 1);
  const Tensor U = winograd::transform_weights(winograd::algorithm(2, 3, 2), g);
  for (const std::array<std::int64_t, 4>& pads :
       {std::array<std::int64_t, 4>{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 0, 1, 1}, {1, 0, 0, 2}}) {
    for (std::int64_t h = 1; h <= 9; ++h) {
      for (std::int64_t w = 1; w <= 9; ++w) {
        if (h + pads[0] + pads[2] < 3 || w + pads[1] + pads[3] < 3) continue;
        const Tensor x = small_integers({2, kC, h, w}, h * 10 + w);
        for (const Precision precision : {Precision::float32, Precision::float64}) {
          const Tensor y = run_op(layer(pads), {x, U}, precision)[0];
          const Tensor wanted = run_op(direct(pads), {x, g}, precision)[0];
          ASSERT_EQ(y.shape(), wanted.shape()) << h << "x" << w;
          ASSERT_EQ(max_abs_difference(y, wanted), 0.0) << h << "x" << w << " pads " << pads[0] << pads[1];
        }
        ++cases;
      }
    }
  }
  EXPECT_GT(cases, 250);
  EXPECT_ANY_THROW(run_op(layer({0, 0, 0, 0}), {small_integers({1, kC, 2, 5}, 1), U}, Precision::float32));
}

TEST(StridedWinograd, DenseEqualsTheDirectConvolutionInDouble) {
  const winograd::Algorithm& f = winograd::algorithm(2, 3, 2);
  const Tensor x = random_normal({2, kC, 13, 10}, 3), g = random_normal({kK, kC, 3, 3}, 4);
  // U in double: nothing is rounded on the way.
  Tensor U(DType::f64, {25, kK, kC});
  for (std::int64_t i = 0; i < U.size(); ++i) {
    const auto xi = static_cast<int>(i / (kK * kC));
    for (int yx = 0; yx < 9; ++yx) {
      U.mutable_data<double>()[static_cast<std::size_t>(i)] +=
          f.G(xi / 5, yx / 3) * f.G(xi % 5, yx % 3) *
          static_cast<double>(g.data<float>()[static_cast<std::size_t>(i % (kK * kC) * 9 + yx)]);
    }
  }
  const Tensor wanted = run_op(direct({1, 1, 1, 1}), {x, g}, Precision::float64)[0];
  EXPECT_LE(relative_l2(run_op(layer({1, 1, 1, 1}), {x, U}, Precision::float64)[0], wanted), 1e-14);
}

// Pruned along every axis, odd and even sizes: the equivalent convolution with kernel 5, stride 4.
TEST(StridedWinograd, PrunedEqualsTheEquivalentConvolution) {
  const winograd::Algorithm& f = winograd::algorithm(2, 3, 2);
  for (const winograd::Axis axis : {winograd::Axis::row, winograd::Axis::column, winograd::Axis::element}) {
    graph::WinogradConv op = layer({1, 1, 1, 1}, axis);
    Tensor U = small_integers({25, kK, kC}, 2);
    for (std::size_t i = 0; i < op.mask.keep.size(); ++i) op.mask.keep[i] = (i * 2654435761U >> 7) % 3 != 0;
    for (std::int64_t i = 0; i < U.size(); ++i) {
      const std::int64_t row = i / kC;
      if (!op.mask.weight_kept(static_cast<int>(row / kK), row % kK, i % kC))
        U.mutable_data<float>()[static_cast<std::size_t>(i)] = 0;
    }
    graph::Conv conv;
    conv.window = {.kernel = {5, 5}, .stride = {4, 4}, .pads = {1, 1, 3, 3}};  // 2 more: the inputs of one output
    const Tensor W = winograd::equivalent_convolution(f, U);
    for (const auto& [h, w] : {std::pair<std::int64_t, std::int64_t>{9, 10}, {11, 12}, {1, 2}, {7, 3}}) {
      const Tensor x = small_integers({1, kC, h, w}, h);
      const Tensor y = run_op(op, {x, U}, Precision::float64)[0];
      const Tensor tiles = run_op(conv, {x, W}, Precision::float64)[0];
      const Tensor covered = run_op(graph::DepthToSpace{2, true}, {tiles}, Precision::float64)[0];
      ASSERT_EQ(y.dim(2), (h - 1) / 2 + 1);
      ASSERT_EQ(covered.dim(2), (y.dim(2) + 1) / 2 * 2);
      const std::vector<Tensor> cut = run_op(
          graph::Slice{}, {covered, ints({0, 0}), ints({y.dim(2), y.dim(3)}), ints({2, 3})}, Precision::float64);
      EXPECT_EQ(max_abs_difference(y, cut[0]), 0.0) << h << "x" << w;
    }
  }
}

}  // namespace
}  // namespace wins::runtime::ref
