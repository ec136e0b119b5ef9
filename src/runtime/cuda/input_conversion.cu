#include "input_conversion.hpp"

#include "launch_chain.cuh"
#include "storage.cuh"
#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

struct Conversion {
  std::int32_t channels = 0, pixels = 0;  ///< of an image
  std::int32_t pitch = 0;
  std::int32_t items = 0;                 ///< image x unit x pixel
  Divisor by_pixels, by_units;
};

/// A thread has one unit of a pixel, and neighbours neighbouring pixels: planes are read in whole lines.
template <class T>
__global__ void __launch_bounds__(kThreads) convert_input(const __grid_constant__ Conversion c, const float* from, T* to) {
  wait_for_predecessor();
  for (std::uint32_t i = first_index(); i < static_cast<std::uint32_t>(c.items); i += index_stride()) {
    int pixel = static_cast<int>(i);
    int unit = c.by_pixels.divide(pixel);
    const int image = c.by_units.divide(unit);
    float values[kUnit<T>];
#pragma unroll
    for (int k = 0; k < kUnit<T>; ++k) {
      const int channel = unit * kUnit<T> + k;
      const std::int64_t plane = static_cast<std::int64_t>(image) * c.channels + channel;
      values[k] = channel < c.channels ? from[plane * c.pixels + pixel] : 0.0F;
    }
    store_unit(to + (static_cast<std::int64_t>(image) * c.pixels + pixel) * c.pitch + unit * kUnit<T>, values);
  }
}

}  // namespace

Step input_conversion_step(const Layout& layout, Operand operand) {
  const auto as_int = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const Shape& shape = layout.shape;
  const std::int64_t units = (shape[1] + unit_channels(operand) - 1) / unit_channels(operand);
  Conversion c;
  c.channels = as_int(shape[1]);
  c.pixels = as_int(shape[2] * shape[3]);
  c.pitch = as_int(layout.pitch);
  c.items = as_int(shape[0] * units * shape[2] * shape[3]);
  c.by_pixels = Divisor(c.pixels);
  c.by_units = Divisor(as_int(units));
  return [c, operand](const Arguments& arguments) {
    with_storage(operand, [&](auto type) {
      using T = typename decltype(type)::type;
      launch_early(&convert_input<T>, blocks_for(static_cast<std::uint32_t>(c.items)), kThreads, 0, arguments.stream, c,
                   static_cast<const float*>(arguments.inputs[0]), static_cast<T*>(arguments.outputs[0]));
    });
    check(cudaPeekAtLastError(), "conversion of an input");
  };
}

}  // namespace wins::runtime::cuda
