// Matrix products.
#include <algorithm>

#include "broadcast.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"
#include "wins/base/parallel.hpp"

namespace wins::runtime::ref {
namespace {

/// A matrix in memory: element (r, c) stands at data[r * row_stride + c * col_stride].
template <class T>
struct View {
  const T* data;
  std::int64_t row_stride, col_stride;
  T at(std::int64_t r, std::int64_t c) const { return data[r * row_stride + c * col_stride]; }
};

/// y (rows x cols, row-major, zero on entry) += a b.
template <class T>
void multiply(const View<T>& a, const View<T>& b, std::int64_t rows, std::int64_t inner, std::int64_t cols, T* y) {
  if (b.col_stride != 1) {
    parallel_for(rows * cols, default_threads(), [&](std::int64_t i, int) {
      for (std::int64_t l = 0; l < inner; ++l) y[i] += a.at(i / cols, l) * b.at(l, i % cols);
    });
    return;
  }
  parallel_for(rows, default_threads(), [&](std::int64_t i, int) {
    for (std::int64_t l = 0; l < inner; ++l) {
      const T factor = a.at(i, l);
      const T* row = b.data + l * b.row_stride;
      for (std::int64_t j = 0; j < cols; ++j) y[i * cols + j] += factor * row[j];
    }
  });
}

}  // namespace

template <class T>
Tensor gemm(const graph::Gemm& op, const Inputs& inputs) {
  const Tensor& a = input_of_rank(inputs, 0, 2);
  const Tensor& b = input_of_rank(inputs, 1, 2);
  const std::int64_t rows = a.dim(op.trans_a ? 1 : 0);
  const std::int64_t inner = a.dim(op.trans_a ? 0 : 1);
  const std::int64_t cols = b.dim(op.trans_b ? 0 : 1);
  require(b.dim(op.trans_b ? 1 : 0) == inner, "matrices {} and {} do not fit", to_string(a.shape()),
          to_string(b.shape()));
  View<T> left{a.data<T>().data(), a.dim(1), 1};
  View<T> right{b.data<T>().data(), b.dim(1), 1};
  if (op.trans_a) std::swap(left.row_stride, left.col_stride);
  if (op.trans_b) std::swap(right.row_stride, right.col_stride);

  Tensor y(dtype_of<T>(), {rows, cols});
  const auto target = y.mutable_data<T>();
  multiply(left, right, rows, inner, cols, target.data());
  const Tensor* addend = optional_input(inputs, 2);
  const T alpha = op.alpha;
  const T beta = op.beta;
  const std::vector<std::int64_t> none(2, 0);
  const auto strides = addend != nullptr ? broadcast_strides(addend->shape(), y.shape()) : none;
  for_each_broadcast(y.shape(), strides, none, [&](std::int64_t i, std::int64_t c, std::int64_t) {
    T& value = target[static_cast<std::size_t>(i)];
    const T added = addend != nullptr ? beta * addend->data<T>()[static_cast<std::size_t>(c)] : T(0);
    value = activate(op.activation, alpha * value + added);
  });
  return y;
}
template Tensor gemm<float>(const graph::Gemm&, const Inputs&);
template Tensor gemm<double>(const graph::Gemm&, const Inputs&);

template <class T>
Tensor matmul(const Inputs& inputs) {
  const Tensor& a = required_input(inputs, 0);
  const Tensor& b = required_input(inputs, 1);
  require(a.rank() > 0 && b.rank() > 0, "scalars cannot be multiplied as matrices");
  // A vector stands for a 1 x n matrix on the left and an n x 1 matrix on the right.
  const Shape left = a.rank() == 1 ? Shape{1, a.dim(0)} : a.shape();
  const Shape right = b.rank() == 1 ? Shape{b.dim(0), 1} : b.shape();
  const std::int64_t rows = left[left.size() - 2];
  const std::int64_t inner = left.back();
  const std::int64_t cols = right.back();
  require(right[right.size() - 2] == inner, "matrices {} and {} do not fit", to_string(a.shape()),
          to_string(b.shape()));
  const Shape left_batch(left.begin(), left.end() - 2);
  const Shape right_batch(right.begin(), right.end() - 2);
  const Shape batch = broadcast_shape(left_batch, right_batch);

  Shape full = batch;
  full.insert(full.end(), {rows, cols});
  Tensor y(dtype_of<T>(), full);
  const T* first = a.data<T>().data();
  const T* second = b.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for_each_broadcast(batch, broadcast_strides(left_batch, batch), broadcast_strides(right_batch, batch),
                     [&](std::int64_t i, std::int64_t ia, std::int64_t ib) {
                       multiply(View<T>{first + ia * rows * inner, inner, 1},
                                View<T>{second + ib * inner * cols, cols, 1}, rows, inner, cols,
                                target + i * rows * cols);
                     });
  Shape shape = batch;
  if (a.rank() > 1) shape.push_back(rows);
  if (b.rank() > 1) shape.push_back(cols);
  return y.reshaped(shape);
}
template Tensor matmul<float>(const Inputs&);
template Tensor matmul<double>(const Inputs&);

}  // namespace wins::runtime::ref
