// SSSE3 gains nothing between the scalar fallback and SSE4.
#define HWY_DISABLED_TARGETS HWY_SSSE3

#include "pointwise_kernels.hpp"

#include <array>
#include <cstdint>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pointwise_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "bfloat16-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using Vec = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kBlock = kLanes < 8 ? 8 : kLanes;
/// Bytes between the weights in use and those fetched.
constexpr std::int64_t kPrefetch = 3072;

#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kMaxPixels[2] = {28, 14};  // 28 accumulators of 32 registers
#else
constexpr int kMaxPixels[2] = {12, 6};  // 12 of 16
#endif

template <int kVectors, int kPixels>
HWY_INLINE void activate(const OutputActivation& activation, Vec (&sum)[kVectors][kPixels]) {
  const D d;
  using Kind = OutputActivation::Kind;
  if (activation.kind == Kind::none) return;
  const bool clamp = activation.kind == Kind::clamp;
  const Vec low = hn::Set(d, activation.low), high = hn::Set(d, activation.high);
  const Vec alpha = hn::Set(d, activation.alpha);
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 28
    for (int j = 0; j < kPixels; ++j) {
      Vec& y = sum[v][j];
      y = clamp ? hn::Min(hn::Max(y, low), high) : hn::IfThenElse(hn::Lt(y, hn::Zero(d)), hn::Mul(y, alpha), y);
    }
  }
}

template <int kVectors, int kPixels>
HWY_INLINE void add_pixels(const float* const (&from)[2], Vec (&sum)[kVectors][kPixels]) {
  const D d;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 28
    for (int j = 0; j < kPixels; ++j) sum[v][j] = hn::Add(sum[v][j], hn::LoadU(d, from[v] + j * kBlock));
  }
}

/// bias + residual, or what earlier columns left in y.
template <int kVectors, int kPixels>
HWY_INLINE void start(const PointwiseTile& tile, Vec (&sum)[kVectors][kPixels]) {
  const D d;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const Vec bias = tile.first ? hn::LoadU(d, tile.bias + v * kLanes) : hn::Zero(d);
#pragma GCC unroll 28
    for (int j = 0; j < kPixels; ++j) sum[v][j] = bias;
  }
  if (!tile.first) {
    const float* const y[2] = {tile.y[0], tile.y[1]};
    add_pixels(y, sum);
  } else if (tile.residual[0] != nullptr) {
    add_pixels(tile.residual, sum);
  }
}

/// Activation; channels that do not exist stay zero.
template <int kVectors, int kPixels>
HWY_INLINE void finish(const PointwiseTile& tile, Vec (&sum)[kVectors][kPixels]) {
  activate(tile.activation, sum);
  if (tile.channels == kLanes) return;
  const auto channels = hn::FirstN(D(), static_cast<std::size_t>(tile.channels));
#pragma GCC unroll 28
  for (int j = 0; j < kPixels; ++j) sum[kVectors - 1][j] = hn::IfThenElseZero(channels, sum[kVectors - 1][j]);
}

template <class Weight>
HWY_INLINE const Weight* weights_of(const PointwiseTile& tile) {
  if constexpr (sizeof(Weight) == 2) {
    return tile.halves;
  } else {
    return tile.weights;
  }
}

template <class Weight, int kVectors, int kPixels>
void multiply_tile(const PointwiseTile& tile) {
  const D d;
  Vec sum[kVectors][kPixels];
  start(tile, sum);
  const Weight* HWY_RESTRICT weights = weights_of<Weight>(tile);
  for (std::int64_t i = 0; i < tile.columns; ++i, weights += kVectors * kLanes) {
    const float* HWY_RESTRICT x = tile.x + tile.offsets[i];
    Vec w[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      w[v] = load_weights(d, weights + v * kLanes);
      __builtin_prefetch(reinterpret_cast<const char*>(weights + v * kLanes) + kPrefetch);
    }
#pragma GCC unroll 28
    for (int j = 0; j < kPixels; ++j) {
      const Vec pixel = hn::Set(d, x[j * kBlock]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[v][j] = hn::MulAdd(w[v], pixel, sum[v][j]);
    }
  }
  if (tile.last) finish(tile, sum);
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 28
    for (int j = 0; j < kPixels; ++j) hn::StoreU(sum[v][j], d, tile.y[v] + j * kBlock);
  }
}

using TileFunction = void (*)(const PointwiseTile&);

template <class Weight, int kVectors, int... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> tile_functions(std::integer_sequence<int, kIndex...>) {
  return {&multiply_tile<Weight, kVectors, kIndex + 1>...};
}

template <class Weight>
void multiply_as(const PointwiseTile& tile) {
  static constexpr auto kSingle = tile_functions<Weight, 1>(std::make_integer_sequence<int, kMaxPixels[0]>());
  static constexpr auto kDouble = tile_functions<Weight, 2>(std::make_integer_sequence<int, kMaxPixels[1]>());
  const auto index = static_cast<std::size_t>(tile.pixels - 1);
  (tile.vectors == 2 ? kDouble[index] : kSingle[index])(tile);
}

void multiply(const PointwiseTile& tile) {
  tile.halves != nullptr ? multiply_as<std::uint16_t>(tile) : multiply_as<float>(tile);
}

void pack(const PackTask& task) {
  const D d;
  const Vec low = hn::Set(d, task.low);
  for (std::int64_t b = 0; b < task.blocks; ++b) {
    const float* plane = task.x + b * task.in_pixels * kBlock;
    float* to = task.to + b * task.pitch * kBlock;
    std::int64_t column = task.first % task.out_width;
    const float* row = plane + task.first / task.out_width * task.stride * task.in_width * kBlock;
    for (std::int64_t p = 0; p < task.count; ++p, to += kBlock) {
      const float* from = row + column * task.stride * kBlock;
      for (int lane = 0; lane < kBlock; lane += kLanes) {
        Vec value = hn::LoadU(d, from + lane);
        if (task.scale != nullptr) {
          const std::int64_t c = b * kBlock + lane;
          value = hn::MulAdd(value, hn::LoadU(d, task.scale + c), hn::LoadU(d, task.shift + c));
          value = hn::Max(value, low);
        }
        hn::StoreU(value, d, to + lane);
      }
      if (++column == task.out_width) {
        column = 0;
        row += task.stride * task.in_width * kBlock;
      }
    }
  }
}

}  // namespace

const PointwiseKernels& pointwise_table() {
  static const PointwiseKernels result{
      hwy::TargetName(HWY_TARGET), kLanes, {kMaxPixels[0], kMaxPixels[1]}, &multiply, &pack};
  return result;
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wins::runtime::cpu {

HWY_EXPORT(pointwise_table);

const PointwiseKernels& pointwise_kernels() {
  return HWY_DYNAMIC_DISPATCH(pointwise_table)();
}

}  // namespace wins::runtime::cpu
#endif
