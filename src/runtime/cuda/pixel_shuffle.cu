#include "pixel_shuffle.hpp"

#include "launch_chain.cuh"
#include "storage.cuh"
#include "wins/runtime/cuda/divisor.hpp"

namespace wins::runtime::cuda {
namespace {

struct ShuffleLayer {
  std::uint32_t items = 0;  ///< pixel x unit
  std::int32_t channels = 0, tile_rows = 0, tile_columns = 0, part = 0;
  std::int32_t output_pitch = 0, residual_pitch = 0;
  Divisor by_units, by_columns, by_rows;
  DeviceActivation activation;
};

template <class T>
__global__ void __launch_bounds__(kThreads) shuffle_pixels(const __grid_constant__ ShuffleLayer layer, const T* tiles, const T* residual, T* to) {
  constexpr int kSize = kUnit<T>;
  wait_for_predecessor();
  for (std::uint32_t i = first_index(); i < layer.items; i += index_stride()) {
    std::uint32_t unit = i;
    const std::uint32_t pixel = layer.by_units.divide(unit);
    std::uint32_t x = pixel;
    std::uint32_t y = layer.by_columns.divide(x);
    const std::uint32_t image = layer.by_rows.divide(y);
    const std::int64_t tile = (static_cast<std::int64_t>(image) * layer.tile_rows + y / 2) * layer.tile_columns + x / 2;
    float values[kSize];
    load_unit(tiles + (tile * 4 + y % 2 * 2 + x % 2) * layer.part + unit * kSize, values);
    if (residual != nullptr) {
      float others[kSize];
      load_unit(residual + static_cast<std::int64_t>(pixel) * layer.residual_pitch + unit * kSize, others);
#pragma unroll
      for (int k = 0; k < kSize; ++k) values[k] += others[k];
    }
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      const bool exists = static_cast<int>(unit) * kSize + k < layer.channels;
      values[k] = exists ? apply(layer.activation, values[k]) : 0.0F;
    }
    store_unit(to + static_cast<std::int64_t>(pixel) * layer.output_pitch + unit * kSize, values);
  }
}

}  // namespace

Step pixel_shuffle_step(const PixelShuffle& shuffle, Operand operand) {
  const auto as_int = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const Shape& out = shuffle.output.shape;
  const std::int64_t units = (out[1] + unit_channels(operand) - 1) / unit_channels(operand);
  ShuffleLayer layer;
  layer.items = static_cast<std::uint32_t>(out[0] * out[2] * out[3] * units);
  layer.channels = as_int(out[1]);
  layer.tile_rows = as_int((out[2] + 1) / 2);
  layer.tile_columns = as_int((out[3] + 1) / 2);
  layer.part = as_int(shuffle.part);
  layer.output_pitch = as_int(shuffle.output.pitch);
  layer.residual_pitch = as_int(shuffle.residual_pitch);
  layer.by_units = Divisor(units);
  layer.by_columns = Divisor(out[3]);
  layer.by_rows = Divisor(out[2]);
  layer.activation = device_activation(shuffle.activation);
  return with_storage(operand, [&](auto type) -> Step {
    using T = typename decltype(type)::type;
    return [layer](const Arguments& arguments) {
      launch_early(&shuffle_pixels<T>, blocks_for(layer.items), kThreads, 0, arguments.stream, layer, static_cast<const T*>(arguments.inputs[0]),
                   static_cast<const T*>(arguments.inputs[1]), static_cast<T*>(arguments.outputs[0]));
      check(cudaPeekAtLastError(), "outputs of tiles");
    };
  });
}

}  // namespace wins::runtime::cuda
