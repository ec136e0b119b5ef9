#include "activation_step.hpp"

#include <algorithm>

#include "storage.cuh"
#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) activate(T* values, int pixels, int channels, int pitch, Divisor by_channels, DeviceActivation function) {
  const int count = pixels * channels;
  for (int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(gridDim.x) * kThreads) {
    int channel = i;
    const int pixel = by_channels.divide(channel);
    T& value = values[static_cast<std::int64_t>(pixel) * pitch + channel];
    value = static_cast<T>(apply(function, static_cast<float>(value)));
  }
}

template <class T>
Step step_of(const Layout& layout, const DeviceActivation& function) {
  const bool pixels_apart = layout.pitch > 0;
  const auto channels = static_cast<int>(pixels_apart ? layout.shape[1] : 1);
  const auto pixels = static_cast<int>(element_count(layout.shape) / std::max(1, channels));
  const auto pitch = static_cast<int>(pixels_apart ? layout.pitch : 1);
  return [=](const Arguments& arguments) {
    if (pixels * channels == 0) return;
    activate<<<blocks_for(static_cast<std::uint32_t>(pixels * channels)), kThreads, 0, arguments.stream>>>(static_cast<T*>(arguments.outputs[0]), pixels, channels, pitch, Divisor(channels), function);
    check(cudaPeekAtLastError(), "activation");
  };
}

}  // namespace

Step activation_step(const Environment& env, const Layout& layout, const graph::Activation& function) {
  return with_storage(env.operand, [&](auto type) -> Step {
    return step_of<typename decltype(type)::type>(layout, device_activation(function));
  });
}

}  // namespace wins::runtime::cuda
