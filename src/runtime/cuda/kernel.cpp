#include "kernel.hpp"

#include <cmath>
#include <cstring>

#include "wins/base/error.hpp"

namespace wins::runtime::cuda {
namespace {

/// Calls `visit(index in row-major order, offset in the layout)` for every element.
template <class Visit>
void for_each_element(const Layout& layout, const Visit& visit) {
  const std::size_t rank = layout.shape.size();
  const std::int64_t count = element_count(layout.shape);
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    visit(i, offset);
    for (std::size_t d = rank; d-- > 0;) {
      offset += layout.strides[d];
      if (++index[d] < layout.shape[d]) break;
      offset -= index[d] * layout.strides[d];
      index[d] = 0;
    }
  }
}

}  // namespace

Layout plain_layout(const Shape& shape) {
  Layout layout{shape, std::vector<std::int64_t>(shape.size(), 1), 0};
  for (std::size_t d = shape.size(); d-- > 1;) layout.strides[d - 1] = layout.strides[d] * shape[d];
  return layout;
}

Layout layout_of(const Shape& shape, std::int64_t unit, std::int64_t pitch) {
  if (shape.size() != 4) return plain_layout(shape);
  if (pitch == 0) pitch = (shape[1] + unit - 1) / unit * unit;
  return {shape, {shape[2] * shape[3] * pitch, 1, shape[3] * pitch, pitch}, pitch};
}

std::int64_t extent_of(const Layout& layout) {
  if (layout.pitch > 0) return layout.shape[0] * layout.shape[2] * layout.shape[3] * layout.pitch;
  return element_count(layout.shape);
}

std::shared_ptr<const DeviceBuffer> upload_unshared(const Environment& env, const std::string& name, const Tensor& tensor, const Layout& layout) {
  const auto values = tensor.data<float>();
  const auto bytes = static_cast<std::size_t>(env.element_bytes());
  std::vector<std::byte> memory(static_cast<std::size_t>(extent_of(layout)) * bytes);
  for_each_element(layout, [&](std::int64_t i, std::int64_t offset) {
    const float value = values[static_cast<std::size_t>(i)];
    std::byte* to = &memory[static_cast<std::size_t>(offset) * bytes];
    if (bytes == 4) {
      std::memcpy(to, &value, 4);
      return;
    }
    const bool half = env.operand == Operand::f16;
    require(!half || !std::isfinite(value) || std::fabs(value) < 65520.0F, "{}: the value {} does not fit float16", name, value);
    const std::uint16_t bits = half ? to_float16(value) : to_bfloat16(value);
    std::memcpy(to, &bits, 2);
  });
  return std::make_shared<const DeviceBuffer>(memory.data(), memory.size());
}

std::shared_ptr<const DeviceBuffer> upload(const Environment& env, const std::string& key, const std::function<Tensor()>& make) {
  return *env.weights.get<std::shared_ptr<const DeviceBuffer>>(key, [&] {
    const Tensor tensor = make();
    return upload_unshared(env, key, tensor, plain_layout(tensor.shape()));
  });
}

std::shared_ptr<const DeviceBuffer> upload(const Environment& env, const std::string& key, const Tensor& tensor, const Layout& layout) {
  return *env.weights.get<std::shared_ptr<const DeviceBuffer>>(key, [&] { return upload_unshared(env, key, tensor, layout); });
}

std::shared_ptr<const DeviceBuffer> upload_floats(const Environment& env, const std::string& key, const std::vector<float>& values) {
  return env.weights.get<DeviceBuffer>(key, [&] { return DeviceBuffer(values.data(), values.size() * sizeof(float)); });
}

double predict_bytes(double bytes) {
  // A launch inside a graph, and most of the bandwidth.
  return 2.0 + bytes / (0.8 * device().bandwidth);
}

}  // namespace wins::runtime::cuda
