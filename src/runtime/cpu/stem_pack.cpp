#include "stem_pack.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "wins/base/error.hpp"
#include "wins/winograd/transforms.hpp"

namespace wins::runtime::cpu {
namespace {

constexpr int kPairs = 3;
constexpr int kInfinity = kStemSide - 1;

const winograd::Algorithm& stem_algorithm() { return winograd::algorithm(kStemTile, kStemTile); }

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// What position i of an axis is multiplied by in U and divided by in A, so that one coefficient of each sum is 1.
double scale_of(int i) {
  const winograd::Algorithm& F = stem_algorithm();
  if (i < 2) return F.A(0, 1);      // of output 1
  if (i < 4) return F.A(2, 2);      // of output 2
  return 1;                         // of output 0, and infinity
}

/// The algorithm's B may carry the sign of a position's factor.
double sign_of(int i) {
  return i == kInfinity ? 1 : stem_algorithm().B(kInfinity - 1, i);
}

StemCoefficients find_coefficients() {
  const winograd::Algorithm& F = stem_algorithm();
  StemCoefficients q;
  for (int pair = 0; pair < kPairs; ++pair) {
    const int i = 2 * pair;
    require(std::abs(F.A(i, 1) + F.A(i + 1, 1)) == 0 && std::abs(sign_of(i)) == 1, "winograd: F(4,4) has no paired form");
    q.root[at(pair)] = static_cast<float>(F.A(i, 1));
    q.low[at(pair)] = static_cast<float>(F.B(1, i) * sign_of(i));
    q.middle[at(pair)] = static_cast<float>(F.B(3, i) * sign_of(i));
    q.last[at(pair)] = static_cast<float>(F.B(2 * pair, kInfinity));
    for (int a = 0; a < kStemTile; ++a) q.power[at(a)][at(pair)] = static_cast<float>(F.A(i, a) / scale_of(i));
  }
  return q;
}

/// Whether position i of an axis has weights in a phase of `taps` taps.
bool is_live(int i, std::int64_t taps) { return i != kInfinity || taps == kStemTile; }

/// Factors of one filter in one phase: [xi] from its taps [y][x], zero where there are none.
std::array<double, kStemPositions> transform_taps(const std::array<double, kStemTile * kStemTile>& g) {
  const winograd::Algorithm& F = stem_algorithm();
  const auto factor = [&](int i, int tap) { return F.G(i, tap) * sign_of(i) * scale_of(i); };
  std::array<double, kStemSide * kStemTile> half{};
  std::array<double, kStemPositions> u{};
  for (int i = 0; i < kStemSide; ++i) {
    for (int x = 0; x < kStemTile; ++x) {
      for (int y = 0; y < kStemTile; ++y) half[at(i * kStemTile + x)] += factor(i, y) * g[at(y * kStemTile + x)];
    }
  }
  for (int i = 0; i < kStemSide; ++i) {
    for (int j = 0; j < kStemSide; ++j) {
      for (int x = 0; x < kStemTile; ++x) u[at(i * kStemSide + j)] += half[at(i * kStemTile + x)] * factor(j, x);
    }
  }
  return u;
}

/// Columns with weights at each position; they lie next to each other (StemGeometry::column).
std::array<StemPosition, kStemPositions> find_positions(const StemGeometry& g, int lanes) {
  std::array<StemPosition, kStemPositions> positions{};
  std::int64_t offset = 0;
  for (int xi = 0; xi < kStemPositions; ++xi) {
    std::int64_t first = g.columns(), last = 0;
    for (int py = 0; py < g.stride; ++py) {
      for (int px = 0; px < g.stride; ++px) {
        if (!is_live(xi / kStemSide, g.taps(0, py)) || !is_live(xi % kStemSide, g.taps(1, px))) continue;
        first = std::min(first, g.column(py, px, 0));
        last = std::max(last, g.column(py, px, 0) + g.channels);
      }
    }
    const std::int64_t count = std::max<std::int64_t>(0, last - first);
    positions[at(xi)] = {static_cast<std::int32_t>(count > 0 ? first : 0), static_cast<std::int32_t>(count), offset};
    offset += count * lanes;
  }
  return positions;
}

/// The taps of filter (k, c) in phase (py, px).
std::array<double, kStemTile * kStemTile> taps_of(const Tensor& weights, const StemGeometry& g, std::int64_t k, std::int64_t c,
                                                  int py, int px) {
  std::array<double, kStemTile * kStemTile> taps{};
  const float* filter = weights.data<float>().data() + (k * g.channels + c) * g.kernel[0] * g.kernel[1];
  for (int y = 0; y < g.taps(0, py); ++y) {
    for (int x = 0; x < g.taps(1, px); ++x)
      taps[at(y * kStemTile + x)] = static_cast<double>(filter[(y * g.stride + py) * g.kernel[1] + x * g.stride + px]);
  }
  return taps;
}

}  // namespace

std::int64_t stem_products(const StemGeometry& geometry) {
  std::int64_t products = 0;
  for (const StemPosition& position : find_positions(geometry, 1)) products += position.count;
  return products;
}

PackedStem pack_stem(const Tensor& weights, const StemGeometry& g, int lanes) {
  PackedStem packed;
  packed.coefficients = find_coefficients();
  packed.positions = find_positions(g, lanes);
  packed.vector_weights = stem_products(g) * lanes;
  const std::int64_t vectors = g.out_blocks() * g.block / lanes;
  packed.weights = AlignedFloats(std::max<std::int64_t>(1, vectors * packed.vector_weights));
  std::fill_n(packed.weights.data(), packed.weights.size(), 0.0F);
  for (std::int64_t k = 0; k < g.out_channels; ++k) {
    float* vector = packed.weights.data() + k / lanes * packed.vector_weights + k % lanes;
    for (int phase = 0; phase < g.stride * g.stride; ++phase) {
      const int py = phase / g.stride, px = phase % g.stride;
      for (std::int64_t c = 0; c < g.channels; ++c) {
        const auto u = transform_taps(taps_of(weights, g, k, c, py, px));
        const std::int64_t column = g.column(py, px, c);
        for (int xi = 0; xi < kStemPositions; ++xi) {
          const StemPosition& position = packed.positions[at(xi)];
          if (column < position.first || column >= position.first + position.count) continue;
          vector[position.offset + (column - position.first) * lanes] = static_cast<float>(u[at(xi)]);
        }
      }
    }
  }
  return packed;
}

}  // namespace wins::runtime::cpu
