// The fused Winograd layer against a plain one in double, without other libraries: for cross-compiled targets.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>

#include "winograd_convolution.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cpu {
namespace {

struct Case {
  int m;
  std::int64_t batch, channels, filters, height, width;
  unsigned keep_sixteenths;
};

WinogradGeometry geometry_of(const Case& c, int block) {
  const winograd::TileGrid grid = winograd::tile_grid(c.m, c.height, c.width);
  WinogradGeometry g;
  g.m = c.m;
  g.block = block;
  g.batch = c.batch;
  g.in_channels = c.channels;
  g.out_channels = c.filters;
  g.in_height = g.out_height = c.height;
  g.in_width = g.out_width = c.width;
  g.tile_rows = grid.rows;
  g.tile_cols = grid.cols;
  return g;
}

/// Position of (n, c, y, x) in a blocked tensor of `blocks` channel blocks.
std::int64_t at(const WinogradGeometry& g, std::int64_t blocks, std::array<std::int64_t, 4> i) {
  return (((i[0] * blocks + i[1] / g.block) * g.in_height + i[2]) * g.in_width + i[3]) * g.block + i[1] % g.block;
}

/// Adds one tile's output of filter k: sum over ij of A[i,a] A[j,b] sum over c of U (B^T d B).
void add_tile(const WinogradGeometry& g, const Tensor& U, const AlignedFloats& x, std::array<std::int64_t, 4> tile,
              std::vector<double>& y) {
  const winograd::Algorithm& F = winograd::algorithm(g.m, 3);
  const auto [n, k, top, left] = tile;
  const int p = g.p();
  for (int xi = 0; xi < p * p; ++xi) {
    double product = 0;
    for (std::int64_t c = 0; c < g.in_channels; ++c) {
      const double u = U.data<float>()[static_cast<std::size_t>((xi * g.out_channels + k) * g.in_channels + c)];
      if (u == 0) continue;
      double v = 0;
      for (int s = 0; s < p; ++s) {
        for (int t = 0; t < p; ++t) {
          const std::int64_t row = top + s - 1, col = left + t - 1;
          if (row < 0 || col < 0 || row >= g.in_height || col >= g.in_width) continue;
          v += F.B(s, xi / p) * F.B(t, xi % p) * x.data()[at(g, g.in_blocks(), {n, c, row, col})];
        }
      }
      product += u * v;
    }
    for (std::int64_t a = 0; a < g.m && top + a < g.in_height; ++a) {
      for (std::int64_t b = 0; b < g.m && left + b < g.in_width; ++b) {
        y[static_cast<std::size_t>(at(g, g.out_blocks(), {n, k, top + a, left + b}))] +=
            F.A(xi / p, static_cast<int>(a)) * F.A(xi % p, static_cast<int>(b)) * product;
      }
    }
  }
}

std::vector<double> reference(const WinogradGeometry& g, const Tensor& U, const AlignedFloats& x) {
  std::vector<double> y(static_cast<std::size_t>(g.batch * g.out_blocks() * g.block * g.in_height * g.in_width));
  for (std::int64_t n = 0; n < g.batch; ++n) {
    for (std::int64_t k = 0; k < g.out_channels; ++k) {
      for (std::int64_t row = 0; row < g.in_height; row += g.m) {
        for (std::int64_t col = 0; col < g.in_width; col += g.m) add_tile(g, U, x, {n, k, row, col}, y);
      }
    }
  }
  return y;
}

AlignedFloats zeros(std::int64_t count) {
  AlignedFloats values(count);
  std::fill_n(values.data(), count, 0.0F);
  return values;
}

winograd::Mask draw_mask(const Case& c) {
  const int positions = (c.m + 2) * (c.m + 2);
  winograd::Mask mask = winograd::Mask::full(winograd::Axis::row, positions, c.filters, c.channels);
  std::mt19937 random(5);
  for (auto& keep : mask.keep) keep = random() % 16 < c.keep_sixteenths;
  return mask;
}

AlignedFloats draw_input(const WinogradGeometry& g) {
  AlignedFloats x = zeros(g.batch * g.in_blocks() * g.block * g.in_height * g.in_width);
  const Tensor values = random_normal({g.batch, g.in_channels, g.in_height, g.in_width}, 2);
  std::size_t next = 0;
  for (std::int64_t n = 0; n < g.batch; ++n) {
    for (std::int64_t c = 0; c < g.in_channels; ++c) {
      for (std::int64_t row = 0; row < g.in_height; ++row) {
        for (std::int64_t col = 0; col < g.in_width; ++col) {
          x.data()[at(g, g.in_blocks(), {n, c, row, col})] = values.data<float>()[next++];
        }
      }
    }
  }
  return x;
}

/// Relative L2 error of the kernels.
double error_of(const Case& c) {
  const WinogradKernels& kernels = winograd_kernels();
  const WinogradGeometry g = geometry_of(c, std::max(8, kernels.lanes));
  const winograd::Mask mask = draw_mask(c);
  Tensor U = winograd::transform_weights(winograd::algorithm(c.m, 3), random_normal({c.filters, c.channels, 3, 3}, 1));
  for (std::size_t row = 0; row < mask.keep.size(); ++row) {
    if (mask.keep[row] == 0)
      std::fill_n(U.mutable_data<float>().begin() + static_cast<std::ptrdiff_t>(row) * c.channels, c.channels, 0.0F);
  }
  const AlignedFloats x = draw_input(g), bias = zeros(g.out_blocks() * g.block);
  const auto weights = std::make_shared<const PackedWinograd>(pack_rows(U, mask, winograd::algorithm(c.m, 3), {g.block, kernels}));
  const WinogradConvolution convolution(g, weights, kernels, {2, false, {}}, 1);
  const std::vector<double> wanted = reference(g, U, x);
  AlignedFloats y = zeros(static_cast<std::int64_t>(wanted.size())), workspace = zeros(convolution.workspace_floats());
  convolution.run({x.data(), bias.data(), nullptr, y.data(), {}, workspace.data()});
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    difference += (y.data()[i] - wanted[i]) * (y.data()[i] - wanted[i]);
    norm += wanted[i] * wanted[i];
  }
  return std::sqrt(difference / norm);
}

int check_all() {
  int wrong = 0;
  for (const Case& c : {Case{2, 1, 16, 16, 14, 14, 16}, Case{2, 2, 17, 5, 11, 13, 6}, Case{4, 1, 12, 20, 10, 10, 16},
                        Case{4, 2, 9, 33, 7, 9, 5}, Case{6, 1, 8, 24, 13, 6, 16}, Case{6, 1, 19, 11, 12, 15, 8}}) {
    const double error = error_of(c), bound = c.m == 2 ? 5e-7 : c.m == 4 ? 1.5e-6 : 6e-6;
    std::printf("%s F(%d,3) %ld x %ld: relative L2 %.1e\n", winograd_kernels().target, c.m, static_cast<long>(c.channels),
                static_cast<long>(c.filters), error);
    wrong += !(error <= bound);
  }
  return wrong;
}

}  // namespace
}  // namespace wins::runtime::cpu

int main() { return wins::runtime::cpu::check_all(); }
