// One-dimensional Winograd transforms and the square transpose, per Highway target.

// Per-target include guard (Highway includes this file once for each target).
#if defined(WINS_CPU_WINOGRAD_TRANSFORMS) == defined(HWY_TARGET_TOGGLE)
#ifdef WINS_CPU_WINOGRAD_TRANSFORMS
#undef WINS_CPU_WINOGRAD_TRANSFORMS
#else
#define WINS_CPU_WINOGRAD_TRANSFORMS
#endif

#include <hwy/highway.h>

#include "winograd_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using Vec = hn::Vec<D>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

/// Loads with a pitch between rows.
template <int kRows>
HWY_INLINE void load_rows(const float* from, std::int64_t pitch, Vec* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) rows[i] = hn::LoadU(D(), from + i * pitch);
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void transpose(Vec*) {}
#else

/// Transposes each 4 x 4 block of four rows.
HWY_INLINE void transpose_blocks(Vec* r) {
  const D d;
  const hn::RepartitionToWide<D> wide;
  const auto a = hn::BitCast(wide, hn::InterleaveLower(d, r[0], r[1]));
  const auto b = hn::BitCast(wide, hn::InterleaveUpper(d, r[0], r[1]));
  const auto c = hn::BitCast(wide, hn::InterleaveLower(d, r[2], r[3]));
  const auto e = hn::BitCast(wide, hn::InterleaveUpper(d, r[2], r[3]));
  r[0] = hn::BitCast(d, hn::InterleaveLower(wide, a, c));
  r[1] = hn::BitCast(d, hn::InterleaveUpper(wide, a, c));
  r[2] = hn::BitCast(d, hn::InterleaveLower(wide, b, e));
  r[3] = hn::BitCast(d, hn::InterleaveUpper(wide, b, e));
}

/// r[i][j] -> r[j][i] for N rows of N lanes.
HWY_INLINE void transpose(Vec* r) {
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 4) transpose_blocks(r + i);
#if HWY_MAX_BYTES == 32
  const D d;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const Vec low = r[j];
    r[j] = hn::ConcatLowerLower(d, r[4 + j], low);
    r[4 + j] = hn::ConcatUpperUpper(d, r[4 + j], low);
  }
#elif HWY_MAX_BYTES == 64
  const D d;
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const Vec s0 = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(r[4 + j]), r[j]);
    const Vec s1 = hn::OddEvenBlocks(r[4 + j], hn::SwapAdjacentBlocks(r[j]));
    const Vec s2 = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(r[12 + j]), r[8 + j]);
    const Vec s3 = hn::OddEvenBlocks(r[12 + j], hn::SwapAdjacentBlocks(r[8 + j]));
    r[j] = hn::ConcatLowerLower(d, s2, s0);
    r[4 + j] = hn::ConcatLowerLower(d, s3, s1);
    r[8 + j] = hn::ConcatUpperUpper(d, s2, s0);
    r[12 + j] = hn::ConcatUpperUpper(d, s3, s1);
  }
#endif
}
#endif  // HWY_TARGET == HWY_SCALAR

/// Loads N rows with a pitch between them, transposed.
HWY_INLINE void load_transposed(const float* from, std::int64_t pitch, Vec* rows) {
#if HWY_TARGET == HWY_AVX3
  // Quarters of rows go to their lanes while they are loaded: blends run on two ports where the
  // shuffles that they replace have one.
  const D d;
#pragma GCC unroll 4
  for (int quarter = 0; quarter < 4; ++quarter) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const float* row = from + s * pitch + quarter * 4;
      __m512 joined = _mm512_castps128_ps512(_mm_load_ps(row));
      joined = _mm512_mask_broadcast_f32x4(joined, 0x00F0, _mm_load_ps(row + 4 * pitch));
      joined = _mm512_mask_broadcast_f32x4(joined, 0x0F00, _mm_load_ps(row + 8 * pitch));
      joined = _mm512_mask_broadcast_f32x4(joined, 0xF000, _mm_load_ps(row + 12 * pitch));
      rows[quarter * 4 + s] = Vec{joined};
    }
    transpose_blocks(rows + quarter * 4);
  }
#else
  load_rows<kLanes>(from, pitch, rows);
  transpose(rows);
#endif
}

/// sum_s weights[s] * x[first + 2 s] over kCount terms.
template <int kCount>
HWY_INLINE Vec combine(const float* weights, const Vec* x) {
  const D d;
  Vec sum = hn::Mul(hn::Set(d, weights[0]), x[0]);
#pragma GCC unroll 4
  for (int s = 1; s < kCount; ++s) sum = hn::MulAdd(hn::Set(d, weights[s]), x[2 * s], sum);
  return sum;
}

/// Inputs of a tile in one dimension, and products.
template <int kTile, int kStride>
inline constexpr int kPatchOf = (kTile - 1) * kStride + 3;

/// out = B^T x for one column.
template <int kTile, int kStride>
HWY_INLINE void forward(const PairedCoefficients& q, const Vec* x, Vec* out) {
  constexpr int kP = kPatchOf<kTile, kStride>;
  if constexpr (kStride == 2) {  // even inputs through F(2,2), odd ones as they are
    out[0] = hn::Sub(x[0], x[2]);
    out[1] = x[2];
    out[2] = hn::Sub(x[2], x[4]);
    out[3] = x[1];
    out[4] = x[3];
  } else if constexpr (kTile == 2) {
    out[0] = hn::Sub(x[0], x[2]);
    out[1] = hn::Add(x[1], x[2]);
    out[2] = hn::Sub(x[2], x[1]);
    out[3] = hn::Sub(x[3], x[1]);
  } else {
    out[0] = combine<kP / 2>(q.first.data(), x);
    out[kP - 1] = combine<kP / 2>(q.last.data(), x + 1);
#pragma GCC unroll 3
    for (int pair = 0; pair < kP / 2 - 1; ++pair) {
      const Vec even = combine<kP / 2 - 1>(q.even[static_cast<std::size_t>(pair)].data(), x + 2);
      const Vec odd = combine<kP / 2 - 1>(q.odd[static_cast<std::size_t>(pair)].data(), x + 1);
      out[1 + 2 * pair] = hn::Add(even, odd);
      out[2 + 2 * pair] = hn::Sub(even, odd);
    }
  }
}

/// out = A^T x for one column.
template <int kTile, int kStride>
HWY_INLINE void inverse(const PairedCoefficients& q, const Vec* x, Vec* out) {
  constexpr int kPairs = kTile / 2;
  const D d;
  if constexpr (kStride == 2) {
    out[0] = hn::Add(hn::Add(x[0], x[1]), x[3]);
    out[1] = hn::Add(hn::Sub(x[1], x[2]), x[4]);
  } else if constexpr (kTile == 2) {
    out[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
    out[1] = hn::Add(hn::Sub(x[1], x[2]), x[3]);
  } else {
    Vec sum[kPairs], difference[kPairs];
#pragma GCC unroll 3
    for (int pair = 0; pair < kPairs; ++pair) {
      sum[pair] = hn::Add(x[1 + 2 * pair], x[2 + 2 * pair]);
      difference[pair] = hn::Sub(x[1 + 2 * pair], x[2 + 2 * pair]);
    }
    out[0] = x[0];
#pragma GCC unroll 3
    for (int pair = 0; pair < kPairs; ++pair) out[0] = hn::Add(out[0], sum[pair]);
#pragma GCC unroll 6
    for (int a = 1; a < kTile; ++a) {
      const Vec* parts = a % 2 == 0 ? sum : difference;
      const float* power = q.power[static_cast<std::size_t>(a)].data();
      out[a] = hn::Mul(hn::Set(d, power[0]), parts[0]);
#pragma GCC unroll 3
      for (int pair = 1; pair < kPairs; ++pair)
        out[a] = hn::MulAdd(hn::Set(d, power[pair]), parts[pair], out[a]);
    }
    out[kTile - 1] = hn::Add(out[kTile - 1], x[kTile + 1]);
  }
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
