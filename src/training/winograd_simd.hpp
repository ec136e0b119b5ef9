// Register-level building blocks of the Winograd training kernels, generic in the vector type.
//
// Everything here is inlined into functions compiled for one instruction set (winograd_kernels.cpp),
// hence references instead of values for vector arguments, and no lambdas.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wins/winograd/transforms.hpp"

namespace wins::training::simd {

template <int kLanes>
struct VecOf {
  typedef float type __attribute__((vector_size(kLanes * sizeof(float))));
};
template <>
struct VecOf<1> {
  using type = float;
};

/// Unaligned load and store.
template <class Vec>
[[gnu::always_inline]] inline void load(const float* from, Vec& value) {
  __builtin_memcpy(&value, from, sizeof(Vec));
}
template <class Vec>
[[gnu::always_inline]] inline void store(float* to, const Vec& value) {
  __builtin_memcpy(to, &value, sizeof(Vec));
}
/// *to += value.
template <class Vec>
[[gnu::always_inline]] inline void add(float* to, const Vec& value) {
  Vec sum;
  load(to, sum);
  sum += value;
  store(to, sum);
}

// One-dimensional steps of F(2,3) with Lavin & Gray's matrices. Other scalings of the rows are
// folded into the weights by the caller.
struct InputF23 {  // B^T
  static constexpr int kIn = 4, kOut = 4;
  template <class Vec>
  [[gnu::always_inline]] inline static void apply(const Vec* d, Vec* t) {
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
  }
};
struct InputAdjointF23 {  // B
  static constexpr int kIn = 4, kOut = 4;
  template <class Vec>
  [[gnu::always_inline]] inline static void apply(const Vec* t, Vec* d) {
    const Vec difference = t[1] - t[2];
    d[0] = t[0];
    d[1] = difference + t[3];
    d[2] = t[1] + t[2] - t[0];
    d[3] = -t[3];
  }
};
struct OutputF23 {  // A^T
  static constexpr int kIn = 4, kOut = 2;
  template <class Vec>
  [[gnu::always_inline]] inline static void apply(const Vec* t, Vec* y) {
    y[0] = t[0] + t[1] + t[2];
    y[1] = t[1] - t[2] - t[3];
  }
};
struct OutputAdjointF23 {  // A
  static constexpr int kIn = 2, kOut = 4;
  template <class Vec>
  [[gnu::always_inline]] inline static void apply(const Vec* y, Vec* t) {
    t[0] = y[0];
    t[1] = y[0] + y[1];
    t[2] = y[0] - y[1];
    t[3] = -y[1];
  }
};

/// out (+)= L in L^T (+ bias) for lanes [c, c + lanes of Vec), with L given by Step. A null `out`
/// entry is not stored.
template <class Vec, class Step, bool kAccumulate>
[[gnu::always_inline]] inline void sandwich_f23(const float* const* in, float* const* out, const float* bias,
                                                std::int64_t c) {
  Vec half[Step::kOut * Step::kIn];
  for (int x = 0; x < Step::kIn; ++x) {
    Vec column[Step::kIn], result[Step::kOut];
    for (int y = 0; y < Step::kIn; ++y) load(in[y * Step::kIn + x] + c, column[y]);
    Step::apply(column, result);
    for (int i = 0; i < Step::kOut; ++i) half[i * Step::kIn + x] = result[i];
  }
  for (int i = 0; i < Step::kOut; ++i) {
    Vec result[Step::kOut];
    Step::apply(half + i * Step::kIn, result);
    for (int j = 0; j < Step::kOut; ++j) {
      float* target = out[i * Step::kOut + j];
      if (target == nullptr) continue;
      if (bias != nullptr) {
        Vec shift;
        load(bias + c, shift);
        result[j] += shift;
      }
      if constexpr (kAccumulate) {
        add(target + c, result[j]);
      } else {
        store(target + c, result[j]);
      }
    }
  }
}

/// The same for any matrix L (rows x cols, at most 10 x 10), given row-major.
struct AnyStep {
  const double* matrix = nullptr;
  int rows = 0, cols = 0;
};
template <class Vec, bool kAccumulate>
[[gnu::always_inline]] inline void sandwich_any(const AnyStep& step, const float* const* in,
                                                float* const* out, const float* bias, std::int64_t c) {
  Vec half[100];
  for (int i = 0; i < step.rows; ++i) {
    for (int x = 0; x < step.cols; ++x) {
      Vec sum = {};
      for (int y = 0; y < step.cols; ++y) {
        const float factor = static_cast<float>(step.matrix[i * step.cols + y]);
        if (factor == 0) continue;
        Vec value;
        load(in[y * step.cols + x] + c, value);
        sum += factor * value;
      }
      half[i * step.cols + x] = sum;
    }
  }
  for (int i = 0; i < step.rows; ++i) {
    for (int j = 0; j < step.rows; ++j) {
      float* target = out[i * step.rows + j];
      if (target == nullptr) continue;
      Vec sum = {};
      for (int x = 0; x < step.cols; ++x) {
        const float factor = static_cast<float>(step.matrix[j * step.cols + x]);
        if (factor != 0) sum += factor * half[i * step.cols + x];
      }
      if (bias != nullptr) {
        Vec shift;
        load(bias + c, shift);
        sum += shift;
      }
      if constexpr (kAccumulate) {
        add(target + c, sum);
      } else {
        store(target + c, sum);
      }
    }
  }
}

/// Row-major result [rows, ldc], left operand with any two strides, right operand row-major.
struct GemmArgs {
  const float* a = nullptr;
  std::ptrdiff_t a_row = 0, a_depth = 0;
  const float* b = nullptr;
  std::ptrdiff_t ldb = 0;
  float* c = nullptr;
  std::ptrdiff_t ldc = 0;
  std::int64_t depth = 0;
  bool accumulate = false;
};

template <class Vec, int kRows, int kVecs>
[[gnu::always_inline]] inline void gemm_tile(const GemmArgs& g, std::int64_t row, std::int64_t col) {
  constexpr std::ptrdiff_t kLanes = sizeof(Vec) / sizeof(float);
  Vec sum[kRows][kVecs] = {};
  const float* a = g.a + row * g.a_row;
  const float* b = g.b + col;
  for (std::int64_t d = 0; d < g.depth; ++d) {
    Vec right[kVecs];
    for (int j = 0; j < kVecs; ++j) load(b + j * kLanes, right[j]);
    for (int i = 0; i < kRows; ++i) {
      const float left = a[i * g.a_row];
      for (int j = 0; j < kVecs; ++j) sum[i][j] += left * right[j];
    }
    a += g.a_depth;
    b += g.ldb;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVecs; ++j) {
      float* place = g.c + (row + i) * g.ldc + col + j * kLanes;
      if (g.accumulate) {
        add(place, sum[i][j]);
      } else {
        store(place, sum[i][j]);
      }
    }
  }
}

template <class Vec, int kRows, int kVecs>
[[gnu::always_inline]] inline void gemm_columns(const GemmArgs& g, std::int64_t rows, std::int64_t col) {
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) gemm_tile<Vec, kRows, kVecs>(g, row, col);
  for (; row + 4 <= rows; row += 4) gemm_tile<Vec, 4, kVecs>(g, row, col);
  for (; row < rows; ++row) gemm_tile<Vec, 1, kVecs>(g, row, col);
}

/// `cols` is a multiple of the lanes. The tiles fill 16 vector registers, or 32 with 16 lanes.
template <class Vec>
[[gnu::always_inline]] inline void gemm(const GemmArgs& g, std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kLanes = sizeof(Vec) / sizeof(float);
  constexpr int kRows = kLanes == 16 ? 12 : 6;
  std::int64_t col = 0;
  for (; col + 2 * kLanes <= cols; col += 2 * kLanes) gemm_columns<Vec, kRows, 2>(g, rows, col);
  if (col < cols) gemm_columns<Vec, 12, 1>(g, rows, col);
}

}  // namespace wins::training::simd
