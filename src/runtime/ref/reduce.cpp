// Reductions over any set of axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "broadcast.hpp"
#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

using Kind = graph::Reduce::Kind;

/// One flag per axis of the input.
std::vector<bool> reduced_axes(const graph::Reduce& op, const Inputs& inputs, std::size_t rank) {
  const Tensor* axes = optional_input(inputs, 1);
  if (axes == nullptr || axes->size() == 0) return std::vector<bool>(rank, !op.noop_with_empty_axes);
  std::vector<bool> reduced(rank, false);
  for (const std::int64_t axis : axes->data<std::int64_t>()) {
    reduced[static_cast<std::size_t>(normal_axis(axis, rank))] = true;
  }
  return reduced;
}

template <class T>
T start_value(Kind kind) {
  if (kind == Kind::max) return -std::numeric_limits<T>::infinity();
  if (kind == Kind::min) return std::numeric_limits<T>::infinity();
  return T(0);
}

template <class T>
T accumulate(Kind kind, T sum, T value) {
  switch (kind) {
    case Kind::mean:
    case Kind::sum: return sum + value;
    case Kind::max: return value <= sum ? sum : value;
    case Kind::min: return value >= sum ? sum : value;
    case Kind::l2: return sum + value * value;
  }
  fail("unknown reduction {}", static_cast<int>(kind));
}

}  // namespace

template <class T>
Tensor reduce(const graph::Reduce& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  const std::vector<bool> reduced = reduced_axes(op, inputs, x.rank());
  // l2 of nothing reduced is still the absolute value; the others are the identity.
  Shape kept = x.shape();
  Shape final_shape;
  for (std::size_t d = 0; d < kept.size(); ++d) {
    if (reduced[d]) kept[d] = 1;
    if (!reduced[d] || op.keep_dims) final_shape.push_back(kept[d]);
  }
  Tensor y(dtype_of<T>(), kept);
  const auto source = x.data<T>();
  const auto target = y.mutable_data<T>();
  std::fill(target.begin(), target.end(), start_value<T>(op.kind));
  const auto strides = broadcast_strides(kept, x.shape());
  for_each_broadcast(x.shape(), strides, strides, [&](std::int64_t i, std::int64_t o, std::int64_t) {
    T& sum = target[static_cast<std::size_t>(o)];
    sum = accumulate(op.kind, sum, source[static_cast<std::size_t>(i)]);
  });
  const T count = static_cast<T>(x.size()) / static_cast<T>(std::max<std::int64_t>(1, y.size()));
  for (T& value : target) {
    if (op.kind == Kind::mean) value /= count;
    if (op.kind == Kind::l2) value = std::sqrt(value);
  }
  return y.reshaped(final_shape);
}
template Tensor reduce<float>(const graph::Reduce&, const Inputs&);
template Tensor reduce<double>(const graph::Reduce&, const Inputs&);

}  // namespace wins::runtime::ref
