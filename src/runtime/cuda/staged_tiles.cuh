// Winograd transforms of the staged form in float32: one tile, a few channels at once.
#pragma once

#include "winograd_tiles.cuh"

namespace wins::runtime::cuda {

/// A few channels.
template <int kCount>
struct Lanes {
  float x[kCount];
};
template <class F, int kCount>
__device__ inline Lanes<kCount> add(const Lanes<kCount>& a, const Lanes<kCount>& b) {
  Lanes<kCount> sum;
#pragma unroll
  for (int i = 0; i < kCount; ++i) sum.x[i] = a.x[i] + b.x[i];
  return sum;
}
template <class F, int kCount>
__device__ inline Lanes<kCount> sub(const Lanes<kCount>& a, const Lanes<kCount>& b) {
  Lanes<kCount> difference;
#pragma unroll
  for (int i = 0; i < kCount; ++i) difference.x[i] = a.x[i] - b.x[i];
  return difference;
}
/// a s + b
template <int kCount>
__device__ inline Lanes<kCount> scale_add(const Lanes<kCount>& a, float s, const Lanes<kCount>& b) {
  Lanes<kCount> sum;
#pragma unroll
  for (int i = 0; i < kCount; ++i) sum.x[i] = fmaf(a.x[i], s, b.x[i]);
  return sum;
}
template <int kCount>
__device__ inline Lanes<kCount> scale(const Lanes<kCount>& a, float s) {
  Lanes<kCount> product;
#pragma unroll
  for (int i = 0; i < kCount; ++i) product.x[i] = a.x[i] * s;
  return product;
}

/// F(m,3): kSize is p, kStep the pixels from one tile to the next.
template <int m, int kStride>
struct StagedTile;

template <int kStride>
struct StagedTile<2, kStride> : Tile<kStride> {
  static constexpr int kOutputs = 2;
  template <class T>
  static __device__ void transform(T (&d)[Tile<kStride>::kSize][Tile<kStride>::kSize]) {
    constexpr int p = Tile<kStride>::kSize;
    T V[p][p];
    const auto copy = [](const T (&from)[p], T (&to)[p]) {
#pragma unroll
      for (int j = 0; j < p; ++j) to[j] = from[j];
    };
    Tile<kStride>::template input_rows<void, T>([&](int i, T (&row)[p]) { copy(d[i], row); }, [&](int i, const T (&row)[p]) { copy(row, V[i]); });
#pragma unroll
    for (int i = 0; i < p; ++i) copy(V[i], d[i]);
  }
};

/// Points 0, +-sqrt(2)/2, +-sqrt(2), infinity, as winograd::algorithm(4, 3).
template <>
struct StagedTile<4, 1> {
  static constexpr int kSize = 6, kStep = 4, kOutputs = 4;
  static constexpr float kRoot = 1.41421356237309505F;

  /// x := B^T x.
  template <class T>
  static __device__ void input(T& x0, T& x1, T& x2, T& x3, T& x4, T& x5) {
    const T y0 = add<void>(scale_add(x2, -2.5F, x0), x4), y5 = add<void>(scale_add(x3, -2.5F, x1), x5);
    const T even1 = sub<void>(scale(x2, 2), x4), odd1 = scale_add(x1, kRoot, scale(x3, -kRoot / 2));
    const T even3 = scale_add(x2, -0.5F, x4), odd3 = scale_add(x3, kRoot, scale(x1, -kRoot / 2));
    x0 = y0;
    x1 = add<void>(even1, odd1);
    x2 = sub<void>(even1, odd1);
    x3 = add<void>(even3, odd3);
    x4 = sub<void>(even3, odd3);
    x5 = y5;
  }
  template <class T>
  static __device__ void transform(T (&d)[6][6]) {
#pragma unroll
    for (int j = 0; j < 6; ++j) input(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
#pragma unroll
    for (int i = 0; i < 6; ++i) input(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
  }
  /// A[i][a]
  static __device__ constexpr float A(int i, int a) {
    constexpr float kA[6][4] = {{1, 0, 0, 0},
                                {1, kRoot / 2, 0.5F, kRoot / 4},
                                {1, -kRoot / 2, 0.5F, -kRoot / 4},
                                {1, kRoot, 2, 2 * kRoot},
                                {1, -kRoot, 2, -2 * kRoot},
                                {0, 0, 0, 1}};
    return kA[i][a];
  }
};

/// y += s x, where `s` is a constant, mostly 0, 1 or -1.
__device__ inline void add_scaled(float s, float x, float& y) {
  if (s == 0) return;
  if (s == 1) {
    y += x;
  } else if (s == -1) {
    y -= x;
  } else {
    y = fmaf(s, x, y);
  }
}

}  // namespace wins::runtime::cuda
