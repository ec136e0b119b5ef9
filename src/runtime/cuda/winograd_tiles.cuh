// Winograd transforms of one tile in registers, for F(2,3) with stride 1 and 2.
//
// The signs are those of winograd::algorithm(2, 3, stride).
#pragma once

#include <cstdint>

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

template <class F, class T, int kCount>
__device__ void add_rows(const T (&x)[kCount], const T (&y)[kCount], T (&sum)[kCount]) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) sum[j] = add<F>(x[j], y[j]);
}
template <class F, class T, int kCount>
__device__ void sub_rows(const T (&x)[kCount], const T (&y)[kCount], T (&difference)[kCount]) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) difference[j] = sub<F>(x[j], y[j]);
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
  /// B^T d B by rows, few of which live at once. `load(i, row)` gives row i of d, `emit(i, row)` takes row i of the result.
  template <class F, class T, class Load, class Emit>
  static __device__ void input_rows(const Load& load, const Emit& emit) {
    const auto load_row = [&](int i, T (&x)[4]) {
      load(i, x);
      input<F>(x[0], x[1], x[2], x[3]);
    };
    combine_rows<F, T, 4>(load_row, true, emit);
  }
  /// Positions of the first and the last column.
  static constexpr std::uint32_t kOuterColumns = 0x9999, kInnerRows = 0x0FF0;
  /// The same where no position of another column is `alive`: `emit` takes these two.
  template <class F, class T, class Load, class Emit>
  static __device__ void outer_input_rows(std::uint32_t alive, const Load& load, const Emit& emit) {
    const auto load_row = [&](int i, T (&row)[2]) {
      T x[4];
      load(i, x);
      row[0] = sub<F>(x[0], x[2]);
      row[1] = sub<F>(x[3], x[1]);
    };
    combine_rows<F, T, 2>(load_row, (alive & kInnerRows) != 0, emit);
  }
  /// Positions of the second row and the second column, sums of neighbours: smooth filters, those of trained networks, are strongest there.
  static constexpr std::uint32_t kCross = 0x22F2;
  /// The same where no other position is `alive`: half of the additions. `emit(xi, v)` takes them in order.
  template <class F, class T, class Load, class Emit>
  static __device__ void cross_input(const Load& load, const Emit& emit) {
    T x[4], sum[4];
    load(0, x);
    const T first = add<F>(x[1], x[2]);
    load(2, sum);
    const T third = add<F>(sum[1], sum[2]);
    emit(1, sub<F>(first, third));
    load(1, x);
    const T second = add<F>(x[1], x[2]);
    add_rows<F>(x, sum, sum);
    input<F>(sum[0], sum[1], sum[2], sum[3]);
#pragma unroll
    for (int j = 0; j < 4; ++j) emit(4 + j, sum[j]);
    emit(9, sub<F>(third, second));
    load(3, x);
    emit(13, sub<F>(add<F>(x[1], x[2]), second));
  }

 private:
  /// The columns' transforms, of rows whose own are done; the second and third row where they are wanted.
  template <class F, class T, int kCount, class LoadRow, class Emit>
  static __device__ void combine_rows(const LoadRow& load_row, bool inner, const Emit& emit) {
    T x0[kCount], x1[kCount], x2[kCount], y[kCount];
    load_row(0, x0);
    load_row(2, x2);
    sub_rows<F>(x0, x2, y);
    emit(0, y);
    load_row(1, x1);
    if (inner) {
      add_rows<F>(x1, x2, y);
      emit(1, y);
      sub_rows<F>(x2, x1, y);
      emit(2, y);
    }
    load_row(3, x0);
    sub_rows<F>(x0, x1, y);
    emit(3, y);
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
  template <class F, class T, class Load, class Emit>
  static __device__ void input_rows(const Load& load, const Emit& emit) {
    T x[5], x2[5], y[5];
    const auto load_row = [&](int i, T (&row)[5]) {
      load(i, row);
      input<F>(row[0], row[1], row[2], row[3], row[4]);
    };
    load_row(0, x);
    load_row(2, x2);
    sub_rows<F>(x, x2, y);
    emit(0, y);
    emit(1, x2);
    load_row(4, x);
    sub_rows<F>(x2, x, y);
    emit(2, y);
    load_row(1, x2);
    emit(3, x2);
    load_row(3, x2);
    emit(4, x2);
  }
};

}  // namespace wins::runtime::cuda
