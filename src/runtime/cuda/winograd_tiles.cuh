// Winograd transforms of one tile in registers, for F(2,3) with stride 1 and 2.
//
// The signs are those of winograd::algorithm(2, 3, stride).
#pragma once

namespace wins::runtime::cuda {

/// Of 16 bytes of channels.
template <class F>
__device__ inline uint4 add(const uint4& x, const uint4& y) {
  return {F::add(x.x, y.x), F::add(x.y, y.y), F::add(x.z, y.z), F::add(x.w, y.w)};
}
template <class F>
__device__ inline uint4 sub(const uint4& x, const uint4& y) {
  return {F::sub(x.x, y.x), F::sub(x.y, y.y), F::sub(x.z, y.z), F::sub(x.w, y.w)};
}

template <int kStride>
struct Tile;

template <>
struct Tile<1> {
  static constexpr int kSize = 4;  ///< p
  static constexpr int kStep = 2;  ///< input pixels from one tile to the next
  /// x := B^T x.
  template <class F, class T>
  static __device__ void input(T& x0, T& x1, T& x2, T& x3) {
    const T y0 = sub<F>(x0, x2), y1 = add<F>(x1, x2), y2 = sub<F>(x2, x1), y3 = sub<F>(x3, x1);
    x0 = y0;
    x1 = y1;
    x2 = y2;
    x3 = y3;
  }
  /// A[i][a]
  static __device__ constexpr float A(int i, int a) {
    constexpr float kA[4][2] = {{1, 0}, {1, 1}, {1, -1}, {0, 1}};
    return kA[i][a];
  }
  template <class F, class T>
  static __device__ void input(T (&d)[4][4]) {
#pragma unroll
    for (int j = 0; j < 4; ++j) input<F>(d[0][j], d[1][j], d[2][j], d[3][j]);
#pragma unroll
    for (int i = 0; i < 4; ++i) input<F>(d[i][0], d[i][1], d[i][2], d[i][3]);
  }
};

template <>
struct Tile<2> {
  static constexpr int kSize = 5;
  static constexpr int kStep = 4;
  template <class F, class T>
  static __device__ void input(T& x0, T& x1, T& x2, T& x3, T& x4) {
    const T y0 = sub<F>(x0, x2), y2 = sub<F>(x2, x4), odd = x1;
    x0 = y0;
    x1 = x2;
    x2 = y2;
    x4 = x3;
    x3 = odd;
  }
  static __device__ constexpr float A(int i, int a) {
    constexpr float kA[5][2] = {{1, 0}, {1, 1}, {0, -1}, {1, 0}, {0, 1}};
    return kA[i][a];
  }
  template <class F, class T>
  static __device__ void input(T (&d)[5][5]) {
#pragma unroll
    for (int j = 0; j < 5; ++j) input<F>(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j]);
#pragma unroll
    for (int i = 0; i < 5; ++i) input<F>(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4]);
  }
};

}  // namespace wins::runtime::cuda
