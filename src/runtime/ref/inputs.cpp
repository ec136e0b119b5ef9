// Access to a node's inputs with checks.
#include "kernels.hpp"
#include "wins/base/error.hpp"

namespace wins::runtime::ref {

const Tensor& required_input(const Inputs& inputs, std::size_t i) {
  const Tensor* tensor = optional_input(inputs, i);
  require(tensor != nullptr && tensor->defined(), "input {} is missing", i);
  return *tensor;
}

const Tensor& input_of_rank(const Inputs& inputs, std::size_t i, std::size_t rank) {
  const Tensor& tensor = required_input(inputs, i);
  require(tensor.rank() == rank, "input {} has shape {}, rank {} was expected", i, to_string(tensor.shape()), rank);
  return tensor;
}

template <class T>
const T* optional_vector(const Inputs& inputs, std::size_t i, std::int64_t count) {
  const Tensor* tensor = optional_input(inputs, i);
  if (tensor == nullptr) return nullptr;
  require(tensor->size() == count, "input {} has {} elements, {} were expected", i, tensor->size(), count);
  return tensor->data<T>().data();
}
template const float* optional_vector<float>(const Inputs&, std::size_t, std::int64_t);
template const double* optional_vector<double>(const Inputs&, std::size_t, std::int64_t);

std::int64_t normal_axis(std::int64_t axis, std::size_t rank) {
  const auto extent = static_cast<std::int64_t>(rank);
  require(axis >= -extent && axis < extent, "axis {} does not exist in rank {}", axis, rank);
  return axis < 0 ? axis + extent : axis;
}

}  // namespace wins::runtime::ref
