// The Winograd layer against the two ordinary convolutions that it equals.
#include <cmath>

#include "known_values.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::ref {
namespace {

struct Setting {
  int m;
  std::int64_t batch, channels, filters, height, width;
  std::array<std::int64_t, 4> pads;
};

constexpr Setting kSettings[] = {
    {2, 2, 3, 5, 7, 9, {1, 1, 1, 1}},  {2, 1, 4, 2, 3, 3, {0, 0, 0, 0}},  {4, 2, 3, 4, 10, 7, {1, 1, 1, 1}},
    {4, 1, 2, 3, 5, 13, {0, 2, 1, 0}}, {6, 1, 3, 2, 11, 14, {1, 1, 1, 1}}, {2, 1, 2, 2, 30, 31, {2, 2, 2, 2}},
};

/// Pseudo-random keep flags, about two of three.
winograd::Mask some_mask(winograd::Axis axis, int positions, std::int64_t rows, std::int64_t columns) {
  winograd::Mask mask = winograd::Mask::full(axis, positions, rows, columns);
  for (std::size_t i = 0; i < mask.keep.size(); ++i) mask.keep[i] = (i * 2654435761U >> 7) % 3 != 0;
  return mask;
}

/// A copy of U with zeros where the mask prunes.
Tensor pruned(const Tensor& U, const winograd::Mask& mask) {
  Tensor result = U;
  const auto values = result.mutable_data<float>();
  for (std::int64_t i = 0; i < U.size(); ++i) {
    const std::int64_t row = i / mask.columns;
    const bool kept = mask.weight_kept(static_cast<int>(row / mask.rows), row % mask.rows, i % mask.columns);
    if (!kept) values[static_cast<std::size_t>(i)] = 0;
  }
  return result;
}

/// Equivalent strided convolution, computed here in double from A, B and U, then depth-to-space
/// and crop: W[(k,a,b),c,y,x] = sum_ij A[i,a] A[j,b] U[(i,j),k,c] B[y,i] B[x,j].
Tensor by_strided_convolution(const Setting& s, const Tensor& U, const Tensor& x) {
  const winograd::Algorithm& f = winograd::algorithm(s.m, 3);
  const int p = f.p();
  const int m = s.m;
  const auto values = U.data<float>();
  Tensor W(DType::f64, {s.filters * m * m, s.channels, p, p});
  const auto w = W.mutable_data<double>();
  std::size_t at = 0;
  for (std::int64_t row = 0; row < s.filters * m * m; ++row) {
    const auto a = static_cast<int>(row / m % m);
    const auto b = static_cast<int>(row % m);
    for (std::int64_t c = 0; c < s.channels; ++c) {
      for (int yx = 0; yx < p * p; ++yx) {
        double sum = 0;
        for (int ij = 0; ij < p * p; ++ij) {
          const auto u = static_cast<std::size_t>((ij * s.filters + row / (m * m)) * s.channels + c);
          sum += f.A(ij / p, a) * f.A(ij % p, b) * static_cast<double>(values[u]) * f.B(yx / p, ij / p) *
                 f.B(yx % p, ij % p);
        }
        w[at++] = sum;
      }
    }
  }
  const std::int64_t out_h = s.height + s.pads[0] + s.pads[2] - 2;
  const std::int64_t out_w = s.width + s.pads[1] + s.pads[3] - 2;
  const winograd::TileGrid grid = winograd::tile_grid(m, out_h, out_w);
  // Padding at the end until the last tile fits.
  graph::Conv conv;
  conv.window = {.kernel = {p, p},
                 .stride = {m, m},
                 .pads = {s.pads[0], s.pads[1], (grid.rows - 1) * m + p - s.height - s.pads[0],
                          (grid.cols - 1) * m + p - s.width - s.pads[1]}};
  const Tensor deep = run_op(conv, {x, W}, Precision::float64)[0];
  const auto from = deep.data<double>();
  Tensor y(DType::f64, {s.batch, s.filters, out_h, out_w});
  const auto to = y.mutable_data<double>();
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const std::int64_t ox = i % out_w;
    const std::int64_t oy = i / out_w % out_h;
    const std::int64_t plane = i / out_w / out_h;
    const std::int64_t channel = (plane * m + oy % m) * m + ox % m;
    to[static_cast<std::size_t>(i)] =
        from[static_cast<std::size_t>((channel * grid.rows + oy / m) * grid.cols + ox / m)];
  }
  return y;
}

graph::WinogradConv layer(const Setting& s, winograd::Mask mask) {
  graph::WinogradConv op;
  op.m = s.m;
  op.pads = s.pads;
  op.mask = std::move(mask);
  return op;
}

TEST(Winograd, PrunedEqualsTheStridedConvolution) {
  for (const Setting& s : kSettings) {
    for (const auto axis : {winograd::Axis::row, winograd::Axis::column, winograd::Axis::element}) {
      SCOPED_TRACE(testing::Message() << "m " << s.m << " size " << s.height << "x" << s.width);
      const int positions = (s.m + 2) * (s.m + 2);
      const Tensor x = random_normal({s.batch, s.channels, s.height, s.width}, 1);
      const winograd::Mask mask = some_mask(axis, positions, s.filters, s.channels);
      const Tensor U = random_normal({positions, s.filters, s.channels}, 2);
      const Tensor wanted = by_strided_convolution(s, pruned(U, mask), x);
      // U is not zeroed here: the mask alone must prune.
      const Tensor y = run_op(layer(s, mask), {x, U}, Precision::float64)[0];
      ASSERT_EQ(y.shape(), wanted.shape());
      EXPECT_LE(relative_l2(y, wanted), 1e-12);
    }
  }
}

TEST(Winograd, LibraryEquivalentConvolutionAgrees) {
  const Setting s{2, 1, 3, 4, 6, 8, {1, 1, 1, 1}};
  const Tensor U = random_normal({16, 4, 3}, 2);
  const Tensor W = winograd::equivalent_convolution(winograd::algorithm(2, 3), U);
  const Tensor x = random_normal({1, 3, 6, 8}, 1);
  graph::Conv conv;
  conv.window = {.kernel = {4, 4}, .stride = {2, 2}, .pads = {1, 1, 1, 1}};
  const Tensor deep = run_op(conv, {x, W}, Precision::float64)[0];
  const Tensor y = run_op(layer(s, winograd::Mask::full(winograd::Axis::row, 16, 4, 3)), {x, U},
                          Precision::float64)[0];
  const Tensor restored = run_op(graph::DepthToSpace{2, true}, {deep}, Precision::float64)[0];
  // The library rounds W to float32.
  EXPECT_LE(relative_l2(y, restored), 3e-7);
}

TEST(Winograd, DenseEqualsTheDirectConvolution) {
  for (const Setting& s : kSettings) {
    SCOPED_TRACE(testing::Message() << "m " << s.m << " size " << s.height << "x" << s.width);
    const winograd::Algorithm& f = winograd::algorithm(s.m, 3);
    const Tensor x = random_normal({s.batch, s.channels, s.height, s.width}, 3);
    const Tensor g = random_normal({s.filters, s.channels, 3, 3}, 4);
    // U in double: nothing is rounded, so the two must agree to double precision.
    const int p = f.p();
    Tensor U(DType::f64, {f.positions(), s.filters, s.channels});
    const auto u = U.mutable_data<double>();
    const auto values = g.data<float>();
    for (std::int64_t i = 0; i < U.size(); ++i) {
      const std::int64_t kc = i % (s.filters * s.channels);
      const auto xi = static_cast<int>(i / (s.filters * s.channels));
      for (int yx = 0; yx < 9; ++yx) {
        u[static_cast<std::size_t>(i)] += f.G(xi / p, yx / 3) * f.G(xi % p, yx % 3) *
                                          static_cast<double>(values[static_cast<std::size_t>(kc * 9 + yx)]);
      }
    }
    graph::Conv conv;
    conv.window = {.kernel = {3, 3}, .pads = s.pads};
    const Tensor wanted = run_op(conv, {x, g}, Precision::float64)[0];
    const auto mask = winograd::Mask::full(winograd::Axis::row, f.positions(), s.filters, s.channels);
    EXPECT_LE(relative_l2(run_op(layer(s, mask), {x, U}, Precision::float64)[0], wanted), 1e-12);
    const Tensor rounded = winograd::transform_weights(f, g);
    EXPECT_LE(relative_l2(run_op(layer(s, mask), {x, rounded}, Precision::float64)[0], wanted), 2e-6);
  }
}

TEST(Winograd, EpilogueMatchesTheDirectConvolution) {
  const Setting s{2, 2, 3, 4, 5, 6, {1, 1, 1, 1}};
  const Tensor x = random_normal({2, 3, 5, 6}, 5);
  const Tensor g = data(2, {4, 3, 3, 3});
  const Tensor bias = random_normal({4}, 6);
  const Tensor residual = random_normal({2, 4, 5, 6}, 7);
  graph::Conv conv;
  conv.window = {.kernel = {3, 3}, .pads = s.pads};
  conv.activation = {graph::UnaryKind::clip, -1.0F, 2.0F};
  graph::WinogradConv op = layer(s, winograd::Mask::full(winograd::Axis::row, 16, 4, 3));
  op.activation = conv.activation;
  // F(2,3) on multiples of 1/64: U is exact in float32.
  const Tensor U = winograd::transform_weights(winograd::algorithm(2, 3), g);
  EXPECT_LE(relative_l2(run_op(op, {x, U, bias, residual}, Precision::float64)[0],
                        run_op(conv, {x, g, bias, residual}, Precision::float64)[0]),
            1e-12);
}

TEST(Winograd, RefusesWrongWeightsAndMasks) {
  const Setting s{2, 1, 3, 4, 5, 6, {1, 1, 1, 1}};
  const auto mask = winograd::Mask::full(winograd::Axis::row, 16, 4, 3);
  const Tensor x = random_normal({1, 3, 5, 6}, 1);
  EXPECT_ANY_THROW(run_op(layer(s, mask), {x, random_normal({36, 4, 3}, 2)}, Precision::float32));
  EXPECT_ANY_THROW(run_op(layer(s, mask), {x, random_normal({16, 5, 3}, 2)}, Precision::float32));
  EXPECT_ANY_THROW(run_op(layer(s, mask), {random_normal({1, 2, 5, 6}, 1), random_normal({16, 4, 3}, 2)},
                          Precision::float32));
}

}  // namespace
}  // namespace wins::runtime::ref
