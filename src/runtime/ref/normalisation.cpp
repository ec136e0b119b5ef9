// Batch, layer and local response normalisation, softmax.
#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {
namespace {

/// Product of the extents [begin, end).
std::int64_t extent_of(const Shape& shape, std::int64_t begin, std::int64_t end) {
  std::int64_t product = 1;
  for (std::int64_t d = begin; d < end; ++d) product *= shape[static_cast<std::size_t>(d)];
  return product;
}

}  // namespace

template <class T>
Tensor batch_norm(const graph::BatchNorm& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  require(x.rank() >= 2, "input 0 has shape {}, rank 2 or more was expected", to_string(x.shape()));
  const std::int64_t channels = x.dim(1);
  for (std::size_t i = 1; i <= 4; ++i) required_input(inputs, i);
  const T* scale = optional_vector<T>(inputs, 1, channels);
  const T* shift = optional_vector<T>(inputs, 2, channels);
  const T* mean = optional_vector<T>(inputs, 3, channels);
  const T* variance = optional_vector<T>(inputs, 4, channels);
  Tensor y(dtype_of<T>(), x.shape());
  const std::int64_t plane = extent_of(x.shape(), 2, static_cast<std::int64_t>(x.rank()));
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t row = 0; row < x.dim(0) * channels; ++row) {
    const std::int64_t c = row % channels;
    const T factor = scale[c] / std::sqrt(variance[c] + static_cast<T>(op.epsilon));
    for (std::int64_t i = row * plane; i < (row + 1) * plane; ++i) target[i] = (source[i] - mean[c]) * factor + shift[c];
  }
  return y;
}
template Tensor batch_norm<float>(const graph::BatchNorm&, const Inputs&);
template Tensor batch_norm<double>(const graph::BatchNorm&, const Inputs&);

template <class T>
Tensor lrn(const graph::Lrn& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  require(x.rank() >= 2 && op.size > 0, "shape {} and size {} are not possible", to_string(x.shape()), op.size);
  Tensor y(dtype_of<T>(), x.shape());
  const std::int64_t channels = x.dim(1);
  const std::int64_t plane = extent_of(x.shape(), 2, static_cast<std::int64_t>(x.rank()));
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t row = 0; row < x.dim(0) * channels; ++row) {
    const std::int64_t c = row % channels;
    const std::int64_t first = std::max<std::int64_t>(0, c - (op.size - 1) / 2);
    const std::int64_t last = std::min(channels - 1, c + op.size / 2);
    for (std::int64_t i = 0; i < plane; ++i) {
      T sum = 0;
      for (std::int64_t other = first; other <= last; ++other) {
        const T value = source[(row - c + other) * plane + i];
        sum += value * value;
      }
      const T base = static_cast<T>(op.bias) + static_cast<T>(op.alpha) / static_cast<T>(op.size) * sum;
      target[row * plane + i] = source[row * plane + i] / std::pow(base, static_cast<T>(op.beta));
    }
  }
  return y;
}
template Tensor lrn<float>(const graph::Lrn&, const Inputs&);
template Tensor lrn<double>(const graph::Lrn&, const Inputs&);

template <class T>
Tensor softmax(const graph::Softmax& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  const std::int64_t axis = normal_axis(op.axis, x.rank());
  const std::int64_t extent = x.shape()[static_cast<std::size_t>(axis)];
  const std::int64_t inner = extent_of(x.shape(), axis + 1, static_cast<std::int64_t>(x.rank()));
  Tensor y(dtype_of<T>(), x.shape());
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t line = 0; line < extent_of(x.shape(), 0, axis) * inner; ++line) {
    const std::int64_t start = line / inner * extent * inner + line % inner;
    T largest = source[start];
    for (std::int64_t i = 1; i < extent; ++i) largest = std::max(largest, source[start + i * inner]);
    T sum = 0;
    for (std::int64_t i = 0; i < extent; ++i) sum += std::exp(source[start + i * inner] - largest);
    for (std::int64_t i = 0; i < extent; ++i) {
      const T shifted = source[start + i * inner] - largest;
      target[start + i * inner] = op.log ? shifted - std::log(sum) : std::exp(shifted) / sum;
    }
  }
  return y;
}
template Tensor softmax<float>(const graph::Softmax&, const Inputs&);
template Tensor softmax<double>(const graph::Softmax&, const Inputs&);

template <class T>
Tensor layer_norm(const graph::LayerNorm& op, const Inputs& inputs) {
  const Tensor& x = required_input(inputs, 0);
  const std::int64_t axis = normal_axis(op.axis, x.rank());
  const std::int64_t extent = extent_of(x.shape(), axis, static_cast<std::int64_t>(x.rank()));
  required_input(inputs, 1);
  const T* scale = optional_vector<T>(inputs, 1, extent);
  const T* shift = optional_vector<T>(inputs, 2, extent);
  Tensor y(dtype_of<T>(), x.shape());
  const T* source = x.data<T>().data();
  T* target = y.mutable_data<T>().data();
  for (std::int64_t line = 0; line < extent_of(x.shape(), 0, axis); ++line, source += extent, target += extent) {
    T mean = 0;
    for (std::int64_t i = 0; i < extent; ++i) mean += source[i] / static_cast<T>(extent);
    T variance = 0;
    for (std::int64_t i = 0; i < extent; ++i) {
      variance += (source[i] - mean) * (source[i] - mean) / static_cast<T>(extent);
    }
    const T factor = T(1) / std::sqrt(variance + static_cast<T>(op.epsilon));
    for (std::int64_t i = 0; i < extent; ++i) {
      target[i] = (source[i] - mean) * factor * scale[i] + (shift != nullptr ? shift[i] : T(0));
    }
  }
  return y;
}
template Tensor layer_norm<float>(const graph::LayerNorm&, const Inputs&);
template Tensor layer_norm<double>(const graph::LayerNorm&, const Inputs&);

}  // namespace wins::runtime::ref
