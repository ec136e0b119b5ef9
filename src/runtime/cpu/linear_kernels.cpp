// SSSE3 gains nothing between the scalar fallback and SSE4.
#define HWY_DISABLED_TARGETS HWY_SSSE3

#include "linear_kernels.hpp"

#include <algorithm>
#include <array>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "linear_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "bfloat16-inl.hpp"
#include "output_activation-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace wins::runtime::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using Vec = hn::Vec<D>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
constexpr int kVectors = 4;
/// Weights between those in use and those fetched.
constexpr std::int64_t kPrefetch = 2048;

#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kMaxRows = 6;  // 24 accumulators of 32 registers
#else
constexpr int kMaxRows = 2;  // 8 of 16
#endif

template <int kRows>
void multiply_rows(const LinearTile& tile) {
  const D d;
  Vec sum[kRows][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const Vec bias = hn::LoadU(d, tile.bias + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) sum[r][v] = bias;
  }
  const std::uint16_t* weights = tile.weights;
  for (std::int64_t c = 0; c < tile.inputs; ++c, weights += kVectors * kLanes) {
    Vec w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) w[v] = load_weights(d, weights + v * kLanes);
    for (int line = 0; line < kVectors * kLanes; line += 32) __builtin_prefetch(weights + line + kPrefetch);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Vec x = hn::Set(d, tile.x[r * tile.x_pitch + c]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(w[v], x, sum[r][v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vec y = activate(D(), tile.activation, sum[r][v]);
      const int left = tile.outputs - v * kLanes;
      float* to = tile.y + r * tile.y_pitch + v * kLanes;
      if (left >= kLanes) {
        hn::StoreU(y, d, to);
      } else if (left > 0) {
        HWY_ALIGN float values[kLanes];
        hn::Store(y, d, values);
        std::copy_n(values, left, to);
      }
    }
  }
}

using RowsFunction = void (*)(const LinearTile&);

template <int... kIndex>
constexpr std::array<RowsFunction, sizeof...(kIndex)> rows_functions(std::integer_sequence<int, kIndex...>) {
  return {&multiply_rows<kIndex + 1>...};
}

void multiply(const LinearTile& tile) {
  static constexpr auto kFunctions = rows_functions(std::make_integer_sequence<int, kMaxRows>());
  kFunctions[static_cast<std::size_t>(tile.rows - 1)](tile);
}

}  // namespace

const LinearKernels& linear_table() {
  static const LinearKernels result{hwy::TargetName(HWY_TARGET), kVectors * kLanes, kMaxRows, &multiply};
  return result;
}

}  // namespace wins::runtime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wins::runtime::cpu {

HWY_EXPORT(linear_table);

const LinearKernels& linear_kernels() {
  return HWY_DYNAMIC_DISPATCH(linear_table)();
}

}  // namespace wins::runtime::cpu
#endif
