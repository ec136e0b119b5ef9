// SSSE3 gains nothing between the scalar fallback and SSE4.
#define HWY_DISABLED_TARGETS HWY_SSSE3

#include "stem_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "stem_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "aligned.hpp"
#include "output_activation-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using Vec = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kBlock = kLanes < 8 ? 8 : kLanes;
constexpr int kPairs = 3;

// Two vectors of output channels times kTiles broadcasts: sums enough to hide the latency, and fewer loads than products.
constexpr bool kManyRegisters = kLanes == 16 || HWY_ARCH_ARM_A64;  // 32 of them
constexpr int kMaxTiles = kManyRegisters ? 8 : 4;
constexpr int kChunk = 2 * kMaxTiles;
static_assert(kChunk % kLanes == 0);

/// B^T d: seven inputs to seven positions.
struct InputTransform {
  Vec low[kPairs], middle[kPairs], root[kPairs], last[kPairs];

  explicit InputTransform(const StemCoefficients& q) {
    const D d;
    for (std::size_t k = 0; k < kPairs; ++k) {
      low[k] = hn::Set(d, q.low[k]);
      middle[k] = hn::Set(d, q.middle[k]);
      root[k] = hn::Set(d, q.root[k]);
      last[k] = hn::Set(d, q.last[k]);
    }
  }

  HWY_INLINE void operator()(const Vec (&x)[kStemSide], Vec (&v)[kStemSide]) const {
#pragma GCC unroll 3
    for (int k = 0; k < kPairs; ++k) {
      const Vec even = hn::MulAdd(low[k], x[0], hn::MulAdd(middle[k], x[2], x[4]));
      const Vec odd = hn::MulAdd(low[k], x[1], hn::MulAdd(middle[k], x[3], x[5]));
      v[2 * k] = hn::MulAdd(root[k], even, odd);
      v[2 * k + 1] = hn::NegMulAdd(root[k], even, odd);
    }
    v[6] = hn::MulAdd(last[0], x[0], hn::MulAdd(last[1], x[2], hn::MulAdd(last[2], x[4], x[6])));
  }
};

/// A^T m: seven positions to four outputs.
struct OutputTransform {
  Vec power[kStemTile][kPairs];

  explicit OutputTransform(const StemCoefficients& q) {
    for (std::size_t a = 0; a < kStemTile; ++a) {
      for (std::size_t k = 0; k < kPairs; ++k) power[a][k] = hn::Set(D(), q.power[a][k]);
    }
  }

  HWY_INLINE void operator()(const Vec (&m)[kStemSide], Vec (&y)[kStemTile]) const {
    Vec even[kPairs], odd[kPairs];
#pragma GCC unroll 3
    for (int k = 0; k < kPairs; ++k) {
      even[k] = hn::Add(m[2 * k], m[2 * k + 1]);
      odd[k] = hn::Sub(m[2 * k], m[2 * k + 1]);
    }
    y[0] = hn::MulAdd(power[0][0], even[0], hn::MulAdd(power[0][1], even[1], even[2]));
    y[1] = hn::MulAdd(power[1][1], odd[1], hn::MulAdd(power[1][2], odd[2], odd[0]));
    y[2] = hn::MulAdd(power[2][0], even[0], hn::MulAdd(power[2][2], even[2], even[1]));
    y[3] = hn::MulAdd(power[3][0], odd[0], hn::MulAdd(power[3][1], odd[1], hn::MulAdd(power[3][2], odd[2], m[6])));
  }
};

/// The rows of one channel under a row of tiles, copied between the zeros that the scratch memory has already.
void pad_rows(const StemInputTask& task, std::int64_t c, float* to, const float* (&rows)[kStemSide * kStemMaxStride]) {
  const StemGeometry& g = *task.geometry;
  const std::int64_t pitch = stem_row_floats(g, kLanes);
  for (int i = 0; i < kStemSide * g.stride; ++i, to += pitch) {
    const std::int64_t row = g.stride * kStemTile * task.tile_row + i - g.pad_top;
    rows[i] = task.zeros;
    if (row < 0 || row >= g.in_height) continue;
    const float* from = task.image + (c * g.in_height + row) * g.in_width;
    std::copy(from, from + g.in_width, to + g.pad_left);
    rows[i] = to;
  }
}

/// Rows of one phase, transformed down the picture.
void transform_rows(const InputTransform& transform, const float* const* rows, int stride, std::int64_t pitch, float* to) {
  const D d;
  for (std::int64_t w = 0; w < pitch; w += kLanes) {
    Vec x[kStemSide], v[kStemSide];
#pragma GCC unroll 7
    for (int i = 0; i < kStemSide; ++i) x[i] = hn::LoadU(d, rows[i * stride] + w);
    transform(x, v);
#pragma GCC unroll 7
    for (int i = 0; i < kStemSide; ++i) hn::StoreU(v[i], d, to + i * pitch + w);
  }
}

/// Even, and odd, elements of two vectors side by side.
HWY_INLINE void split_pair(Vec first, Vec second, Vec& even, Vec& odd) {
#if HWY_TARGET == HWY_SCALAR
  even = first;
  odd = second;
#else
  const D d;
  even = hn::ConcatEven(d, second, first);
  odd = hn::ConcatOdd(d, second, first);
#endif
}

/// Within each group of kSize vectors: the even elements first, then the odd ones; and so on for both halves.
template <int kSize, int kStep>
HWY_INLINE void split_groups(Vec (&x)[kStep]) {
  if constexpr (kSize > 1) {
    Vec y[kStep];
#pragma GCC unroll 8
    for (int i = 0; i < kStep; i += 2) {
      const int group = i / kSize * kSize, at = group + (i - group) / 2;
      split_pair(x[i], x[i + 1], y[at], y[at + kSize / 2]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kStep; ++i) x[i] = y[i];
    split_groups<kSize / 2>(x);
  }
}

/// Pixels [q * kStep + r] to [r][q]: kStep vectors in, kStep out.
template <int kStep>
HWY_INLINE void cut_by_phase(const float* from, float* to, std::int64_t pitch) {
  const D d;
  Vec x[kStep];
#pragma GCC unroll 8
  for (int i = 0; i < kStep; ++i) x[i] = hn::LoadU(d, from + i * kLanes);
  split_groups<kStep>(x);
  // Group i holds the residue whose bits are those of i in reverse.
#pragma GCC unroll 8
  for (int i = 0; i < kStep; ++i) {
    const int residue = kStep == 4 ? (i & 1) * 2 + (i >> 1) : (i & 1) * 4 + (i & 2) + (i >> 2);
    hn::StoreU(x[i], d, to + residue * pitch);
  }
}

/// One row of a channel to its seven positions along the row, tiles in the lanes.
template <int kStride>
void transform_row(const StemInputTask& task, const InputTransform& transform, const float* cut, std::int64_t cut_pitch, int px, float* v) {
  constexpr int kStep = kStemTile * kStride;
  const D d;
  const std::int64_t columns = task.geometry->columns();
  for (std::int64_t t = 0; t < task.geometry->tile_cols(); t += kLanes) {
    float* to = v + (t / kChunk * kStemPositions * columns) * kChunk + t % kChunk;
    Vec x[kStemSide], y[kStemSide];
#pragma GCC unroll 7
    for (int j = 0; j < kStemSide; ++j) {
      const int at = kStride * j + px;
      x[j] = hn::LoadU(d, cut + at % kStep * cut_pitch + t + at / kStep);
    }
    transform(x, y);
#pragma GCC unroll 7
    for (int j = 0; j < kStemSide; ++j) hn::StoreU(y[j], d, to + j * columns * kChunk);
  }
}

template <int kStride>
void transform_strided(const StemInputTask& task) {
  constexpr int kStep = kStemTile * kStride;
  const StemGeometry& g = *task.geometry;
  const std::int64_t pitch = stem_row_floats(g, kLanes), cut_pitch = pitch / kStep + kLanes;
  const InputTransform transform(*task.coefficients);
  float* padded = task.scratch;
  float* rows = padded + kStemSide * kStride * pitch;
  float* cut = rows + kStemSide * pitch;
  const float* picture[kStemSide * kStemMaxStride];
  for (std::int64_t c = 0; c < g.channels; ++c) {
    pad_rows(task, c, padded, picture);
    for (int py = 0; py < kStride; ++py) {
      transform_rows(transform, picture + py, kStride, pitch, rows);
      // The position at infinity has no weights in phases of fewer taps.
      const int live = g.taps(0, py) == kStemTile ? kStemSide : kStemSide - 1;
      // One loop after the other: what was just stored is not in the cache yet, and reads across two stores wait for it.
      for (int i = 0; i < live; ++i) {
        for (std::int64_t q = 0; q < pitch / kStep; q += kLanes)
          cut_by_phase<kStep>(rows + i * pitch + q * kStep, cut + i * kStep * cut_pitch + q, cut_pitch);
      }
      for (int i = 0; i < live; ++i) {
        for (int px = 0; px < kStride; ++px) {
          float* v = task.v + (i * kStemSide * g.columns() + g.column(py, px, c)) * kChunk;
          transform_row<kStride>(task, transform, cut + i * kStep * cut_pitch, cut_pitch, px, v);
        }
      }
    }
  }
}

void transform_input(const StemInputTask& task) {
  task.geometry->stride == 1 ? transform_strided<1>(task) : transform_strided<2>(task);
}

/// Sums over the columns of one position, to [vector][tile][N].
template <int kVectors, int kTiles>
HWY_INLINE void multiply_position(const StemTileTask& task, int xi, float* m) {
  const D d;
  const StemPosition position = task.positions[xi];
  const float* HWY_RESTRICT u = task.weights + position.offset;
  const float* HWY_RESTRICT v = task.v + (xi * task.columns + position.first) * kChunk;
  Vec sum[kVectors][kTiles];
#pragma GCC unroll 2
  for (int k = 0; k < kVectors; ++k) {
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) sum[k][t] = hn::Zero(d);
  }
  for (std::int32_t n = 0; n < position.count; ++n, u += kLanes, v += kChunk) {
    Vec w[kVectors];
#pragma GCC unroll 2
    for (int k = 0; k < kVectors; ++k) w[k] = hn::Load(d, u + k * task.vector_weights);
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) {
      const Vec x = hn::Set(d, v[t]);
#pragma GCC unroll 2
      for (int k = 0; k < kVectors; ++k) sum[k][t] = hn::MulAdd(w[k], x, sum[k][t]);
    }
  }
#pragma GCC unroll 2
  for (int k = 0; k < kVectors; ++k) {
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) hn::Store(sum[k][t], d, m + (k * kTiles + t) * kLanes);
  }
}

/// Columns of the half transformed tile to pixels of vector k.
HWY_INLINE void write_tile(const StemTileTask& task, const OutputTransform& transform, int k, const float* half, std::int64_t step,
                           std::int64_t column) {
  const D d;
  const auto exist = hn::FirstN(d, static_cast<std::size_t>(std::clamp(task.channels - k * kLanes, 0, kLanes)));
  for (int b = 0; b < kStemTile && column + b < task.width; ++b) {
    Vec m[kStemSide], y[kStemTile];
#pragma GCC unroll 7
    for (int i = 0; i < kStemSide; ++i) m[i] = hn::Load(d, half + (i * kStemTile + b) * step);
    transform(m, y);
    if (task.bias != nullptr) {
      const Vec bias = hn::LoadU(d, task.bias + k * kLanes);
#pragma GCC unroll 4
      for (int a = 0; a < kStemTile; ++a) y[a] = hn::IfThenElseZero(exist, activate(D(), task.activation, hn::Add(y[a], bias)));
    }
#pragma GCC unroll 4
    for (int a = 0; a < kStemTile; ++a) {
      if (task.rows[k][a] != nullptr) hn::StoreU(y[a], d, task.rows[k][a] + (column + b) * kBlock);
    }
  }
}

template <int kVectors, int kTiles>
void multiply_tiles(const StemTileTask& task) {
  const D d;
  constexpr int kCount = kVectors * kTiles, kStep = kCount * kLanes;
  float* products = task.scratch;               // [j][vector][tile][N]: one row of positions
  float* half = products + kStemSide * kStep;  // [i][b][vector][tile][N]
  const OutputTransform transform(*task.coefficients);
  for (int i = 0; i < kStemSide; ++i) {
    for (int j = 0; j < kStemSide; ++j) multiply_position<kVectors, kTiles>(task, i * kStemSide + j, products + j * kStep);
    for (int t = 0; t < kCount; ++t) {
      Vec m[kStemSide], y[kStemTile];
#pragma GCC unroll 7
      for (int j = 0; j < kStemSide; ++j) m[j] = hn::Load(d, products + j * kStep + t * kLanes);
      transform(m, y);
#pragma GCC unroll 4
      for (int b = 0; b < kStemTile; ++b) hn::Store(y[b], d, half + (i * kStemTile + b) * kStep + t * kLanes);
    }
  }
  for (int k = 0; k < kVectors; ++k) {
    for (int t = 0; t < kTiles; ++t) write_tile(task, transform, k, half + (k * kTiles + t) * kLanes, kStep, t * kStemTile);
  }
}

using TileFunction = void (*)(const StemTileTask&);

template <int kVectors, int... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> tile_functions(std::integer_sequence<int, kIndex...>) {
  return {&multiply_tiles<kVectors, kIndex + 1>...};
}

void multiply(const StemTileTask& task) {
  static constexpr auto kSingle = tile_functions<1>(std::make_integer_sequence<int, kMaxTiles>());
  static constexpr auto kDouble = tile_functions<2>(std::make_integer_sequence<int, kMaxTiles>());
  const auto index = static_cast<std::size_t>(task.tiles - 1);
  (task.vectors == 2 ? kDouble[index] : kSingle[index])(task);
}

/// The largest of kRows rows at float i.
template <int kRows>
HWY_INLINE Vec largest_at(const StemPoolTask& task, std::int64_t i) {
  const D d;
  Vec most = hn::LoadU(d, task.rows[0] + i);
#pragma GCC unroll 4
  for (int r = 1; r < kRows; ++r) most = hn::Max(most, hn::LoadU(d, task.rows[r] + i));
  return most;
}

/// Bias and activation, which are monotone, and the largest value stays the largest; channels that do not exist are zero.
struct PoolFinish {
  Vec bias;
  hn::Mask<D> exist;
  OutputActivation activation;

  PoolFinish(const StemPoolTask& task, int lane)
      : bias(hn::LoadU(D(), task.bias + lane)),
        exist(hn::FirstN(D(), static_cast<std::size_t>(std::clamp(task.channels - lane, 0, kLanes)))),
        activation(task.activation) {}
  HWY_INLINE void operator()(Vec most, float* y) const {
    hn::StoreU(hn::IfThenElseZero(exist, activate(D(), activation, hn::Add(most, bias))), D(), y);
  }
};

/// Pooled pixel q from the rows themselves, windows clipped to the picture.
template <int kRows>
HWY_INLINE Vec pool_window(const StemPoolTask& task, std::int64_t q, int lane) {
  const std::int64_t start = q * task.stride - task.pad;
  const std::int64_t first = std::max<std::int64_t>(start, 0), last = std::min(start + task.kernel, task.width);
  Vec most = largest_at<kRows>(task, first * kBlock + lane);
  for (std::int64_t w = first + 1; w < last; ++w) most = hn::Max(most, largest_at<kRows>(task, w * kBlock + lane));
  return most;
}

template <int kRows>
void pool_rows(const StemPoolTask& task) {
  // Windows of 3 at a stride of 2, the usual ones, share a column with the next.
  const bool shares = task.kernel == 3 && task.stride == 2;
  const std::int64_t first = std::min(divide_up(task.pad, task.stride), task.pooled_width);
  const std::int64_t inside = task.width + task.pad < 3 ? 0 : (task.width + task.pad - 3) / 2 + 1;  // of those that share
  const std::int64_t last = shares ? std::clamp(inside, first, task.pooled_width) : first;
  for (int lane = 0; lane < kBlock; lane += kLanes) {
    const PoolFinish finish(task, lane);
    float* y = task.y + lane;
    std::int64_t q = 0;
    for (; q < first; ++q) finish(pool_window<kRows>(task, q, lane), y + q * kBlock);
    if (q < last) {
      std::int64_t i = (q * 2 - task.pad) * kBlock + lane;
      Vec shared = largest_at<kRows>(task, i);
      for (; q < last; ++q, i += 2 * kBlock) {
        const Vec next = largest_at<kRows>(task, i + 2 * kBlock);
        finish(hn::Max(hn::Max(shared, largest_at<kRows>(task, i + kBlock)), next), y + q * kBlock);
        shared = next;
      }
    }
    for (; q < task.pooled_width; ++q) finish(pool_window<kRows>(task, q, lane), y + q * kBlock);
  }
}

void pool(const StemPoolTask& task) {
  switch (task.count) {
    case 1: return pool_rows<1>(task);
    case 2: return pool_rows<2>(task);
    case 3: return pool_rows<3>(task);
    case 4: return pool_rows<4>(task);
    default: return pool_rows<5>(task);
  }
}

}  // namespace

const StemKernels& stem_table() {
  static const StemKernels result{hwy::TargetName(HWY_TARGET), kLanes, kChunk, kMaxTiles, &transform_input, &multiply, &pool};
  return result;
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wins::runtime::cpu {

HWY_EXPORT(stem_table);

const StemKernels& stem_kernels() {
  return HWY_DYNAMIC_DISPATCH(stem_table)();
}

}  // namespace wins::runtime::cpu
#endif
